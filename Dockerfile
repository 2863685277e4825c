# A server of recommendations. It needs a model: mount the folder of `widedeep export` (see docs/serving.md).
FROM python:3.11-slim

# PyPI's torch for Linux brings the libraries of a GPU. To go without: --build-arg PIP_EXTRA_INDEX_URL=<the index of
# PyTorch with builds for the CPU>.
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

WORKDIR /build
COPY pyproject.toml constraints.txt ./
# In a layer of its own, because it is large and seldom changes.
RUN pip install -c constraints.txt torch
COPY README.md LICENSE ./
COPY src src
RUN pip install -c constraints.txt '.[postgres]' && rm -rf /build/*

RUN useradd --create-home widedeep
USER widedeep
WORKDIR /home/widedeep

EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["widedeep"]
CMD ["serve", "/served/model", "--host", "0.0.0.0"]
