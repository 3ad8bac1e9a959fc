# SPDX-License-Identifier: Apache-2.0
"""A syslog message as RFC 5424 s.6 has it, taken apart; anything else is an error."""

import datetime
import re

HEADER = re.compile(r"<([1-9]\d{0,2}|0)>1 (-|\S{20,32}) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) (.*)\n", re.S)
ELEMENT = re.compile(r'\[([!#-<>-\\^-~]{1,32})((?: [!#-<>-\\^-~]{1,32}="(?:\\["\\\]]|[^"\\\]])*")*)\]')
PARAM = re.compile(r' ([^=]+)="((?:\\["\\\]]|[^"\\\]])*)"')


def parse(line):
    found = HEADER.fullmatch(line)
    if not found or int(found[1]) > 191:
        raise ValueError(f"no header: {line[:200]!r}")
    priority, timestamp, hostname, app, procid, msgid, rest = found.groups()
    if timestamp != "-":
        datetime.datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%fZ")
    data, at = {}, 1 if rest.startswith("-") else 0
    while rest.startswith("[", at):
        element = ELEMENT.match(rest, at)
        if not element:
            raise ValueError(f"no structured data: {rest[at:at + 200]!r}")
        data[element[1]] = {name: re.sub(r"\\(.)", r"\1", value) for name, value in PARAM.findall(element[2])}
        at = element.end()
    if at == 0 or rest[at:at + 1] not in ("", " "):
        raise ValueError(f"what follows the structured data is no message: {rest[at:at + 200]!r}")
    if any(ord(c) < 32 for c in rest):
        raise ValueError("a control character: more than one line")
    return {"facility": int(priority) // 8, "severity": int(priority) % 8, "timestamp": timestamp, "hostname": hostname,
            "app": app, "procid": procid, "msgid": msgid, "data": data, "msg": rest[at + 1:]}
