"""The columns of an analyst's copy as Markdown, generated from the policy so that docs/export.md cannot be out of date.

``python -m media_assets.pipeline.export.reference`` prints it.
"""

import sys

from media_assets.pipeline.export.policy import LEFT_OUT, RULES, rules_of
from media_assets.storage.columns import common
from media_assets.storage.schemas import TABLES


def columns_reference() -> str:
    """Return what each rule does, and which columns of which tables have it, ending with a newline."""
    lines = ["| rule | what becomes of the value |", "|---|---|"]
    lines += [f"| `{rule}` | {words} |" for rule, words in RULES.items()]
    lines += ["", "| table | columns by rule |", "|---|---|"]
    for table in TABLES.values():
        rules = rules_of(table)
        if rules is None:
            lines.append(f"| `{table.name}` | **Left out.** {LEFT_OUT[table.name]} |")
            continue
        own = list(rules)[len(common()) :]
        by_rule = {rule: [name for name in own if rules[name] == rule] for rule in RULES}
        cells = [f"*{rule}*: {', '.join(f'`{name}`' for name in names)}" for rule, names in by_rule.items() if names]
        lines.append(f"| `{table.name}` | {'; '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(columns_reference())
