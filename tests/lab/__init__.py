"""A laboratory of interference: network namespaces with a probe, an ISP that interferes, an
internet and a control, and the installed commands between them. Nothing leaves the namespaces.
"""
