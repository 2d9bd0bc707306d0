"""The benchmark: how many jobs a second the whole path carries on this machine, and at what cost.

Load generator, service and receiver are three processes. The generator keeps a fixed number of jobs
between their submission and their callback; generator and receiver speak HTTP/1.1 by hand over
kept connections, so that they take little of the machine from the service. What they could do
without the service is measured in the same run and stands next to its figures.
"""
