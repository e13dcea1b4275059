import pytest

from coterie.tracking import mlflow_fields as fields
from tests.records import MadeUpMethod, MadeUpMetric, make_record


def test_parameters_are_flat_text() -> None:
    method = MadeUpMethod("kmeans", parameters={"k": 8, "metric": "cosine", "sizes": [2, 3], "seed_with": None})
    assert fields.parameters(make_record(method, seed=2)) == {
        "task_name": "pydoc-llama/relevance",
        "method_name": "kmeans",
        "seed": "2",
        "budget": "1000",
        "protocol": "coterie-2",
        "method.k": "8",
        "method.metric": "cosine",
        "method.sizes": "[2, 3]",
        "method.seed_with": "null",
    }


def test_values_that_mlflow_would_truncate_or_refuse_are_listed_as_left_out() -> None:
    parameters = {"fits": "x" * 6000, "long": "x" * 6001, "a\nb": 1, "<b>": 2, "a/../up": 3, "n" * 300: 4, "": 5}
    record = make_record(MadeUpMethod("m", parameters=parameters))
    found = fields.parameters(record)
    assert found["method.fits"] == "x" * 6000
    assert found["method.long"] == "see record.json: 6,001 characters are more than MLflow keeps"
    assert [name for name in found if name.startswith("method.")] == ["method.fits", "method.long"]
    assert set(fields.left_out(record)) == {f"method.{name}" for name in parameters} - {"method.fits", "method.long"}
    assert "method.<b>" in fields.tags(record)["coterie.left_out"]


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("ndcg_drop/heldout_low", True),
        ("method.k", True),
        ("a b", True),
        ("nDCG@10", False),
        ("a//b", False),
        ("a/../b", False),
        ("/a", False),
        ("a/", False),
        ("a/.", False),
        ("a\n", False),
        ("", False),
    ],
)
def test_usable_names_are_those_that_mlflow_accepts(name: str, usable: bool) -> None:
    assert fields.usable_key(name) is usable


def test_metrics_include_values_intervals_and_cost() -> None:
    method = MadeUpMethod("m", evaluations={"ablations": 12, "activations": 1}, seconds=3.5)
    record = make_record(method)
    found = fields.metrics(record)
    for measure in record.scores:
        assert found[measure.key] == measure.value
        assert found[f"{measure.key}_low"] == measure.low
        assert found[f"{measure.key}_high"] == measure.high
    assert found["cost/evaluations_ablations"] == 12
    assert found["cost/evaluations"] == 13
    assert found["cost/discovery_seconds"] == 3.5
    assert all(fields.usable_key(name) for name in found)


@pytest.mark.parametrize("domain", ["NFCorpus", "My_Other Data", "v1.0"])
def test_a_domain_that_mlflow_accepts_keeps_its_name(domain: str) -> None:
    metric = MadeUpMetric("ndcg-drop", domain, "nDCG@10", 0.1)
    assert f"ndcg-drop/{domain}_low" in fields.metrics(make_record(MadeUpMethod("m"), metrics=(metric,)))


def test_other_domains_get_distinct_keys() -> None:
    domains = ("日本", "本日", "Ünïcode", "Ün*code", "a.", "x" * 100, "-")
    metrics = [MadeUpMetric("ndcg-drop", domain, "nDCG@10", 0.1) for domain in domains]
    record = make_record(MadeUpMethod("m"), metrics=metrics)
    found = [name for name in fields.metrics(record) if name.startswith("ndcg-drop/")]
    assert len(set(found)) == 3 * len(domains)
    assert fields.left_out(record) == []


def test_a_failed_cell_has_a_reason_and_no_numbers() -> None:
    record = make_record("m", status="failed", reason="x" * 5000)
    assert fields.metrics(record) == {}
    tags = fields.tags(record)
    assert tags[fields.STATUS_TAG] == "failed"
    assert len(tags["coterie.reason"]) == fields.TAG_CHARACTERS
    assert tags["coterie.reason"].endswith("…")


def test_tags_identify_what_determines_the_result() -> None:
    record = make_record("m")
    tags = fields.tags(record)
    assert tags[fields.IDENTITY_TAG] == record.identity_digest
    assert tags["coterie.task_fingerprint"] == record.identity.task_fingerprint
    assert tags["coterie.method_code_hash"] == record.identity.code_hash
    assert tags["mlflow.source.git.commit"] == tags["coterie.git_hash"] == record.environment.git_hash
    assert tags["coterie.version"] == "0.1.0"


def test_the_dataset_is_named_by_task_and_fingerprint() -> None:
    record = make_record("m", dataset_revision="pydoc-7")
    data = fields.dataset(record)
    assert data.name == record.task_name
    assert record.identity.task_fingerprint.startswith(data.digest)
    assert len(data.digest) <= 36
    assert "pydoc-7" in data.source


def test_a_run_ends_at_the_date_of_the_record() -> None:
    record = make_record(MadeUpMethod("m", seconds=7.5), date="1970-01-01T00:01:00+00:00")
    assert fields.times(record) == (60_000 - 7_500 - 12_500, 60_000)
