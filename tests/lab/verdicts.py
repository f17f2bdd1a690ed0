"""Did the judge say of a case what it promises?"""

from __future__ import annotations

from typing import Any

from tests.lab.cases import Case

ORIGINS = frozenset(("on_path", "lying_resolver"))


def faults(case: Case, record: dict[str, Any]) -> list[str]:
    """Return what is wrong with the verdicts of one laboratory, one line each."""
    wrong = []
    verdicts = {v["target"]: v for v in record["verdicts"]}
    if set(verdicts) != set(record["targets"]):
        wrong.append(f"judged {sorted(verdicts)} of {record['targets']}")
    for target, said in sorted(verdicts.items()):
        hit = {case.state, case.or_state or case.state}
        expected = hit if target == record["victim"] else {"ok", case.or_bystander or "ok"}
        if case.everyone:  # what does not need the broken part may still work
            expected |= hit
            if target != record["victim"] and not case.accuses:
                expected.add("vantage_offline")  # the line may die for one target's time
            elif case.or_bystander and not case.accuses:
                expected.add(case.or_bystander)  # nothing makes the victim another than these
        if said["state"] not in expected:
            wrong.append(f"{target}: {expected} expected, said {said}")
    said = verdicts.get(record["victim"], {})
    evidence = set(said.get("evidence", ()))
    doubted = case.accuses and said.get("state") == case.or_state
    if said.get("technique") != (None if doubted else case.technique):
        wrong.append(f"technique {case.technique} expected, said {said}")
    if said.get("rule") not in case.rules:
        wrong.append(f"one of {case.rules} expected, said {said}")
    if not evidence.issuperset(case.evidence):
        wrong.append(f"all of {case.evidence} expected, said {said}")
    if record["origin"] and evidence & ORIGINS != {record["origin"]}:
        wrong.append(f"{record['origin']} expected and nothing else, said {said}")
    total, failed = case.endpoints or (1, int(not case.part))
    if case.accuses and said.get("endpoints") != {"total": total, "failed": failed}:
        wrong.append(f"{failed} endpoints of {total} expected to fail, said {said}")
    return wrong
