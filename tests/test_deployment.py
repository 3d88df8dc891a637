"""The template as CloudFormation gets it: translated by SAM, and with the parameters of an environment."""

from support.template import deployed

# ── Names and stages ─────────────────────────────────────────────────────────────


def test_the_api_has_one_stage_and_that_one_has_limits():
    stages = deployed("AWS::ApiGateway::Stage")
    published = {
        one["Properties"].get("StageName") for one in deployed("AWS::ApiGateway::Deployment").values()
    }

    assert [one["Properties"]["StageName"] for one in stages.values()] == ["v1"]
    assert published == {None}  # a deployment with a StageName creates that stage, beside ours
    [stage] = stages.values()
    assert stage["Properties"]["MethodSettings"][0]["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
