"""The parts of AWS that ``local_server`` stands in for, so that the same handlers run on a laptop.

events        the events that AWS sends to a handler, and its invocation
connection    HTTP connections: how long and how large, and how many
gateway       API Gateway
environments  Lambda, for what the gateway invokes: several events of a function at a time
bucket        S3, as far as upload tickets and playback links need it
cors          which web pages may read the answers of both
guard         which requests are answered at all: their Host and Origin
headers       what every answer says
page          the web page of clients/web
workers       S3 notifications, SQS, the table's stream and EventBridge: threads that invoke handlers
lines         CloudWatch Logs
"""
