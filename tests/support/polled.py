"""SQS with a worker that polls it, as Lambda's event source does on AWS."""

from videos.ports import Job
from videos.stores.aws.clients import translate_errors
from videos.stores.aws.sqs import SqsJobs, ignore_stale_receipt, video_id_of


class PolledSqsJobs(SqsJobs):
    """With the two methods of ``SqliteJobs`` that deliver jobs."""

    def receive(self) -> Job | None:
        with translate_errors("SQS"):
            answer = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                WaitTimeSeconds=self._wait_s,
            )
        for message in answer.get("Messages", []):
            return Job(
                video_id=video_id_of(message),
                receipt=message["ReceiptHandle"],
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
            )
        return None

    def done(self, job: Job) -> None:
        with translate_errors("SQS"), ignore_stale_receipt():
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=job.receipt)
