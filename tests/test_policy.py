"""What holds among the numbers of policy.py, and with those that the template has to repeat."""

from datetime import timedelta

from support.template import RESOURCES
from videos import policy

LAMBDA_LONGEST_S = 900


def of_function(name: str, setting: str) -> int:
    return RESOURCES[name]["Properties"][setting]


def test_a_job_that_fails_comes_again_after_a_pause_that_doubles_up_to_a_minute():
    assert [policy.pause_s(receives) for receives in (1, 2, 3, 4, 5, 6, 7, 100)] == [
        2, 4, 8, 16, 32, 60, 60, 60,
    ]  # fmt: skip


def test_a_job_is_delivered_more_often_than_its_record_lets_a_video_be_tried():
    queue = RESOURCES["JobQueue"]["Properties"]
    tries = policy.MAX_FAILURES + policy.MAX_LOST + policy.MAX_EXHAUSTED

    assert queue["RedrivePolicy"]["maxReceiveCount"] == policy.MAX_RECEIVES
    assert tries < policy.MAX_RECEIVES


def test_the_tools_of_an_attempt_end_before_its_function_does():
    assert of_function("TranscodeVideo", "Timeout") > max(policy.TRANSCODE_S, policy.CHECK_S)
    assert of_function("TranscodeVideo", "Timeout") <= LAMBDA_LONGEST_S


def test_the_tools_of_a_check_end_before_its_function_does_and_its_lease_after_it():
    assert policy.CHECK_S < of_function("CheckUpload", "Timeout") <= policy.LEASE_S


def test_the_files_in_the_inbox_are_kept_as_long_as_dead_letters():
    rules = {
        rule["Id"]: rule for rule in RESOURCES["MediaBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    }
    kept_s = RESOURCES["DeadJobs"]["Properties"]["MessageRetentionPeriod"]

    assert (rules["inbox"]["Prefix"], rules["inbox"]["ExpirationInDays"]) == ("uploads/", 14)
    assert kept_s == timedelta(days=14).total_seconds()


def test_a_job_stays_hidden_for_six_times_the_timeout_of_its_function_as_sqs_asks():
    hidden_s = RESOURCES["JobQueue"]["Properties"]["VisibilityTimeout"]

    assert hidden_s == 6 * of_function("TranscodeVideo", "Timeout")


def test_a_round_of_recovery_is_over_before_its_function_is():
    [event] = RESOURCES["RecoverVideos"]["Properties"]["Events"].values()
    assert event["Properties"]["Schedule"] == "rate(1 minute)"
    assert timedelta(seconds=policy.RECOVER_EVERY_S) == timedelta(minutes=1)
    assert of_function("RecoverVideos", "Timeout") > policy.RECOVER_WITHIN_S


def test_a_webhook_stays_hidden_for_six_times_the_timeout_of_its_function():
    for queue in ("Deliveries", "RetriedDeliveries"):
        hidden_s = RESOURCES[queue]["Properties"]["VisibilityTimeout"]
        assert hidden_s == policy.DELIVERY_VISIBILITY_S == 6 * of_function("DeliverWebhook", "Timeout")
    assert of_function("DeliverWebhook", "Timeout") > 2 * policy.CALL_TIMEOUT_S


def test_the_function_gives_webhooks_up_before_their_queue_does():
    redrive = RESOURCES["RetriedDeliveries"]["Properties"]["RedrivePolicy"]

    assert redrive["maxReceiveCount"] > policy.MAX_UNFINISHED + policy.MAX_DELIVERIES


def test_a_webhook_outlives_its_retries_in_every_queue():
    kept_s = {
        RESOURCES[queue]["Properties"]["MessageRetentionPeriod"]
        for queue in ("Deliveries", "RetriedDeliveries", "DeadDeliveries")
    }

    assert kept_s == {timedelta(days=14).total_seconds()}
    assert timedelta(days=1) < timedelta(seconds=sum(policy.DELIVERY_PAUSES_S)) < timedelta(days=2)
