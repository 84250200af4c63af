"""The lab: two nodes on loopback, a workload, an independent model. Shares no code with the product.

Files, in the order in which a check meets them: base (errors, waiting, processes, cleaning up), nodes (PKI,
configuration, daemons, the command line), nbdio (reading and writing devices), workload (operations and their
outcome), model (what every step has to be), history (what `everstep log` says, matched to the operations),
scene (a lab with its model: settle, compare), mounts (file systems on an NBD server), pg (PostgreSQL).
"""
