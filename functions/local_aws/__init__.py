"""The parts of AWS that ``local_server`` plays, so that the same handlers run on a laptop.

events      the events, as AWS makes them, and what Lambda does with one
connection  HTTP itself: what it may take of time and space
gateway     API Gateway
bucket      S3, as far as upload tickets and playback links need it
cors        which web pages may read the answers of both
workers     S3 notifications, SQS and EventBridge: they call handlers when it is time
"""
