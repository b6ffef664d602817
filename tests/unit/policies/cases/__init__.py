"""The engine's own suite: cases as data, run against `policies.odrl` or a changed copy of it (`running`).

`operators` holds single constraints, `decisions` whole policies, `refusals` what is not read. A case has a name, so that a failure
says what it is about; expectations stand beside it and are not computed by the engine.
"""
