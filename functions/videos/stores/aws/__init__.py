"""The ports on S3, DynamoDB and SQS. Only this room imports boto3."""
