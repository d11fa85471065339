"""The page *Evidence*, without a browser."""

from collections import Counter

from headless_pages import open_page, plots
from streamlit.testing.v1 import AppTest

from nmfdiag.evidence.claims import CLAIMS, findings
from nmfdiag.views.evidence import count_sentences, groups


def visit(page: str, **link: str | list[str]) -> AppTest:
    return open_page(page, **link)


def claim_boxes(app: AppTest) -> list:
    return [box for box in app.expander if box.label != "More"]


def test_every_claim_is_a_line_that_opens_its_runs() -> None:
    app = visit("evidence")
    assert not app.exception and not app.error and app.title[0].value == "Which of the paper's claims hold here?"
    assert app.markdown[0].value.startswith(f"**{count_sentences(findings())[0]}**")
    lines = [(claim, finding) for group in groups(findings()).values() for claim, finding in group.items()]
    boxes = claim_boxes(app)
    assert len(boxes) == len(lines) == len(CLAIMS)
    badges = [m.value for m in app.markdown if "-badge[" in m.value]
    for (claim, finding), box, badge in zip(lines, boxes, badges, strict=True):
        assert claim.claim in box.label and f"[{finding.verdict}]" in badge
        assert finding.measured in " ".join(m.value for m in box.markdown)
        assert ("(figure " in box.markdown[0].value) is claim.is_of_a_figure
        n_units = len(finding.units)
        assert [len(table.value) for table in box.dataframe] == ([n_units] if n_units else [])
        assert not any(table.value.select_dtypes(bool).shape[1] for table in box.dataframe)  # drawn as check boxes


def test_the_bar_counts_what_is_listed() -> None:
    [bar] = plots(visit("evidence"))
    counts = {trace["name"]: sum(trace["x"]) for trace in bar["data"]}
    verdicts = Counter(finding.verdict for finding in findings().values())
    assert counts == dict(verdicts)


def test_claims_can_be_filtered_by_verdict() -> None:
    app = visit("evidence", verdict=["does not hold"])
    verdicts = [finding.verdict for finding in findings().values()]
    assert len(claim_boxes(app)) == verdicts.count("does not hold")
    assert count_sentences(findings())[0] in app.markdown[0].value  # of all claims, listed or not
