"""Render static HTML pages from the templates of the package. The same values give the same bytes."""

import jinja2
from markupsafe import Markup, escape

from widedeep.report import charts
from widedeep.report.charts import canvas
from widedeep.report.text import count, number


def render_page(template: str, **values: object) -> str:
    """Render a file of report/templates as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("widedeep", "report/templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "count": count, "key": _key, "code": _code}
    environment.globals["colors"] = canvas  # a dark page replaces the neutral colours of the charts
    return environment.get_template(template).render(**values)


def _key(series: charts.Series) -> Markup:
    return Markup(charts.key(series))


def _code(text: str) -> Markup:
    """Mark text between backticks as code."""
    parts = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)
