"""What people and auditors read of a finished artifact: report, model card, bill of materials, provenance.

All of it is told from the manifest and the contract, so that it can be written long after the build, anywhere: standard
library only. None of it is part of the artifact or of its digest.
"""
