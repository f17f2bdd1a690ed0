# SPDX-License-Identifier: Apache-2.0
"""The shell of known fingerprints: files, directories and the command. How they are matched is in
`monitor.detection.fingerprints`, which reads no files.
"""
