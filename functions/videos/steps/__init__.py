"""The use cases, one module each, named after the handler that calls it.

Events are delivered at least once and in any order. So every step reads the state, does its work, queues
the next job, and only then writes by compare-and-set. A lost race is a normal outcome: another delivery
has done the work.
"""
