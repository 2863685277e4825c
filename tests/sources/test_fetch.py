import hashlib
import json
import re
import stat
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from widedeep.errors import UserError
from widedeep.sources import SOURCES
from widedeep.sources import fetch as fetch_module
from widedeep.sources.fetch import download, fetch, read_dataset

CSV = SOURCES["own"]
RATINGS = "user_id,item_id,rating\n1,10,4\n"
ITEMS = "item_id,title\n10,A\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fetch_module, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(fetch_module, "RETRIES", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the URL at which a local server gives its files."""
    folder = tmp_path / "www"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def make_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text in members.items():
            zipped.writestr(name, text)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folder_gives_only_the_named_files_and_their_checksums(tmp_path: Path, out: Path) -> None:
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "notes.txt").write_text("private")
    fetch(CSV, str(tmp_path), out)
    assert sorted(content(out)) == ["dataset.json", "ratings.csv"]
    assert json.loads((out / "dataset.json").read_text()) == {
        "dataset": "own",
        "files": {"ratings.csv": hashlib.sha256(RATINGS.encode()).hexdigest()},
        "roles": {"ratings": ["ratings.csv"]},
    }


@pytest.mark.parametrize("prefix", ["", "mine/", "a/b/"])
def test_zip_members_are_found_wherever_they_lie_together(tmp_path: Path, out: Path, prefix: str) -> None:
    members = {f"{prefix}ratings.csv": RATINGS, f"{prefix}items.csv": ITEMS, "__MACOSX/._ratings.csv": "x"}
    fetch(CSV, str(make_zip(tmp_path / "a.zip", members)), out)
    assert sorted(content(out)) == ["dataset.json", "items.csv", "ratings.csv"]
    assert (out / "items.csv").read_text() == ITEMS


def test_zip_and_folder_give_the_same_bytes_whatever_their_names(tmp_path: Path, out: Path) -> None:
    folder, again = tmp_path / "mine", tmp_path / "again"
    folder.mkdir()
    again.mkdir()
    (folder / "ratings.csv").write_text(RATINGS)
    fetch(CSV, str(folder), out)
    fetch(CSV, str(make_zip(tmp_path / "a.zip", {"x/ratings.csv": RATINGS})), again)
    assert content(out) == content(again)


def test_zip_with_the_file_in_two_folders_is_ambiguous(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"old/ratings.csv": RATINGS, "new/ratings.csv": RATINGS})
    with pytest.raises(UserError, match=r"must lie in one folder.*new, old"):
        fetch(CSV, str(archive), out)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_zip_member_outside_the_folder_is_refused_and_nothing_written(tmp_path: Path, out: Path, name: str) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ratings.csv": RATINGS, name: "x"})
    with pytest.raises(UserError, match=re.escape(repr(name))):
        fetch(CSV, str(archive), out)
    assert content(out) == {}
    assert not list(tmp_path.rglob("evil"))


def test_zip_member_that_is_a_link_is_refused(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "a.zip"
    link = zipfile.ZipInfo("ratings.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"'ratings\.csv' is a link"):
        fetch(CSV, str(archive), out)
    assert content(out) == {}


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_broken_zip_is_a_user_error(tmp_path: Path, out: Path, damage: str) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ratings.csv": RATINGS * 100})
    whole = archive.read_bytes()
    broken = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:45] + bytes([whole[45] ^ 0xFF]) + whole[46:],
        "text": b"<html>",
    }
    archive.write_bytes(broken[damage])
    with pytest.raises(UserError, match=r"a\.zip is not a whole, readable zip file"):
        fetch(CSV, str(archive), out)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_to_any_compression_is_a_user_error(tmp_path: Path, out: Path, method: int) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", method) as zipped:
        zipped.writestr("ratings.csv", RATINGS * 100)
    content = bytearray(archive.read_bytes())
    content[80] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip is not a whole, readable zip file: the member 'ratings\.csv' cannot"):
        fetch(CSV, str(archive), out)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("ratings.csv", "ratings.csv"), "'ratings.csv' has the name of another member"),
        (("ratings.csv", "./ratings.csv"), "'ratings.csv' has the name of another member"),
        (("ratings.csv", ""), "the member '' has no name"),
    ],
)
def test_members_must_have_names_of_their_own(tmp_path: Path, out: Path, names: tuple[str, str], told: str) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in names:
            zipped.writestr(zipfile.ZipInfo(name), RATINGS)
    with pytest.raises(UserError, match=re.escape(told)):
        fetch(CSV, str(archive), out)
    assert content(out) == {}


def test_encrypted_member_is_a_user_error(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ratings.csv": RATINGS})
    whole = bytearray(archive.read_bytes())
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(whole)
    with pytest.raises(UserError, match=r"'ratings\.csv' cannot be unpacked \(File 'ratings\.csv' is encrypted"):
        fetch(CSV, str(archive), out)


def test_zip_has_a_limit_for_what_it_unpacks_to(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ratings.csv": RATINGS + "\n" * 2**20, "other": " " * 2**22})
    limit = (len(RATINGS) + 2**20) / 2**30
    with pytest.raises(UserError, match=r"unpack to 0\.00 GiB\. At most .* Raise download\.max_unpacked_gib"):
        fetch(CSV, str(archive), out, limit * 0.999)
    assert content(out) == {}
    fetch(CSV, str(archive), out, limit)
    assert "a.zip unpacks to 0.00 GiB (download.max_unpacked_gib: " in capsys.readouterr().out


def test_raw_folder_must_name_a_data_set(tmp_path: Path) -> None:
    for text, told in (
        ("{}", "must name a data set. Got None"),
        ('{"dataset": "x"}', "Got 'x'"),
        ("[", "not valid JSON"),
    ):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(UserError, match=re.escape(told)):
            read_dataset(tmp_path, SOURCES)


def test_missing_file_names_what_is_missing_and_what_was_found(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x/u.user": "1", "x/u.item": "1"})
    with pytest.raises(UserError, match=r"ml-100k needs u\.data .*missing: u\.data\. Found x/u\.item, x/u\.user"):
        fetch(SOURCES["ml-100k"], str(archive), out)


def test_files_that_describe_items_and_users_may_be_missing(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x/u.data": "1", "x/u.item": "1"})
    fetch(SOURCES["ml-100k"], str(archive), out)
    assert sorted(content(out)) == ["dataset.json", "u.data", "u.item"]
    printed = capsys.readouterr().out
    assert "has no u.genre: nothing is known of the items but their ratings" in printed
    assert "has no u.user: nothing is known of the users but their ratings" in printed


def test_train_and_test_files_may_replace_the_ratings(tmp_path: Path, out: Path) -> None:
    members = {"x/train.csv": RATINGS, "x/test.csv": RATINGS, "x/items.csv": ITEMS}
    fetch(CSV, str(make_zip(tmp_path / "a.zip", members)), out)
    assert sorted(content(out)) == ["dataset.json", "items.csv", "test.csv", "train.csv"]


def test_empty_file_is_a_user_error(tmp_path: Path, out: Path) -> None:
    (tmp_path / "ratings.csv").touch()
    with pytest.raises(UserError, match=r"ratings\.csv of own is empty"):
        fetch(CSV, str(tmp_path), out)


@pytest.mark.parametrize("location", ["nowhere", "ftp://host/a.zip", ""])
def test_unknown_place_is_a_user_error(
    tmp_path: Path, out: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        fetch(CSV, location, out)


@pytest.mark.parametrize("location", ["~nobody-here/ratings", "x" * 300])
def test_place_that_cannot_be_a_path_is_a_user_error(out: Path, location: str) -> None:
    with pytest.raises(UserError, match=r"^download\.source: '.*' cannot be a path here: .*\.$"):
        fetch(CSV, location, out)


def test_own_data_has_no_automatic_place(out: Path) -> None:
    with pytest.raises(UserError, match=r"download\.source must say where it is"):
        fetch(CSV, "auto", out)


def test_url_without_checksum_is_downloaded_again(cache: Path, served: tuple[Path, str], out: Path) -> None:
    folder, url = served
    make_zip(folder / "a.zip", {"ratings.csv": RATINGS})
    fetch(CSV, f"{url}/a.zip", out)
    make_zip(folder / "a.zip", {"ratings.csv": RATINGS + "2,10,5\n"})
    fetch(CSV, f"{url}/a.zip", out)
    assert (out / "ratings.csv").read_text() == RATINGS + "2,10,5\n"


def test_url_with_checksum_is_downloaded_once(cache: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    (folder / "a.zip").write_bytes(b"abc")
    checksum = "sha256:" + hashlib.sha256(b"abc").hexdigest()
    first = download(f"{url}/a.zip", checksum)
    (folder / "a.zip").unlink()
    assert download(f"{url}/a.zip", checksum) == first
    assert first.read_bytes() == b"abc"


def test_wrong_checksum_is_a_user_error_and_leaves_no_file(cache: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    (folder / "a.zip").write_bytes(b"abc")
    with pytest.raises(UserError, match=r"/a\.zip does not serve the file with the published checksum"):
        download(f"{url}/a.zip", "md5:" + "0" * 32)
    assert content(cache) == {}


def test_http_error_names_the_url_and_the_other_way(cache: Path, served: tuple[Path, str]) -> None:
    with pytest.raises(UserError, match=r"cannot download http.*/a\.zip: 404.*set download\.source"):
        download(f"{served[1]}/a.zip", None)


def test_no_network_is_a_user_error(cache: Path, out: Path) -> None:
    with pytest.raises(UserError, match=r"cannot download http://127\.0\.0\.1:1/a\.zip"):
        fetch(CSV, "http://127.0.0.1:1/a.zip", out)


@pytest.mark.parametrize(
    ("dataset", "archive", "n_files"),
    [
        ("ml-100k", "ml-100k.zip", 18),
        ("ml-1m", "ml-1m.zip", 3),
        ("ml-latest-small", "ml-latest-small.zip", 2),
        ("myanimelist-2023", "myanimelist-2023-sample.zip", 2),
    ],
)
def test_real_zip_unpacks(shared_data: Path, out: Path, dataset: str, archive: str, n_files: int) -> None:
    fetch(SOURCES[dataset], str(shared_data / archive), out)
    described = json.loads((out / "dataset.json").read_text())
    assert len(described["files"]) == n_files
    assert set(SOURCES[dataset].files) <= set(described["files"])
