# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/`: endpoints, query parameters, the forms of JSON and CSV, the OpenAPI document."""
