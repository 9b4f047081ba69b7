#!/usr/bin/env python3
"""Writes bots.tsv and bot-agents.txt anew from the package crawler-user-agents (PyPI, MIT licence).

usage: update-bots.py            fetches the package with pip
       update-bots.py FILE.json  reads this crawler-user-agents.json

A pattern of the list becomes words: what its sample strings need is found out by trying, so that the program can look
for whole words only. Then run the tests of src/capture/bot/, which print what is found and what is left, look through
the difference, and raise RULES_VERSION there.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).parent

# Patterns that are more than a text: what they stand for. Nothing = left to the program's own names.
REGEXES = {
    r"AdsBot-Google([^-]|$)": ["adsbot-google"],
    r"Ahrefs(Bot|SiteAudit)": ["ahrefsbot", "ahrefssiteaudit"],
    r"(sistrix|SISTRIX) [cC]rawler": ["sistrix crawler"],
    r"(^| )sentry\/": ["sentry/"],
    r"(^| )PTST\/": ["ptst/"],
    r"BlogTraffic\/\d\.\d+ Feed-Fetcher": ["feed-fetcher"],
    r"Automaton|Newsify Feed Fetcher": ["automaton", "newsify feed fetcher"],
    r"Chirp|gotosocial": ["gotosocial"],
    r"ContextualBot[\s\S]*outcomes\.net": ["contextualbot"],
    r"Current[\s\S]*RSS Reader": [],
    r"Netumo|netumo": ["netumo"],
    r"Spider[\s\S]*spider\.com": [],
    r"GoogleAssociationService$": ["googleassociationservice"],
    r"SSL Labs$": ["ssl labs"],
}
# Words that people's browsers have too, or that say nothing.
NOT_A_BOT = {"silk/", "fluid", "fever", "sonic", "trove", "viber", "red/", "jetty", "ahc/", "odin;", "devin", "gopay",
             "optimizer)", "rigor)", "ap3a.240617.008", "yeti", "um-ln", "um-fc", "um-ic", "bw/", "linko", "dlc/"}
KINDS = {
    "social-preview": "preview",
    "http-library": "library",
    "browser-automation": "headless",
    "monitoring": "monitor",
    "scanner": "scanner",
}


def packaged():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "crawler-user-agents"],
                       check=True)
        wheel = next(pathlib.Path(folder).glob("*.whl"))
        return json.loads(zipfile.ZipFile(wheel).read("crawleruseragents/crawler-user-agents.json"))


def literals(pattern):
    if pattern in REGEXES:
        return REGEXES[pattern]
    text = re.sub(r"\[(\w)(\w)\]", lambda m: m[1] if m[1].lower() == m[2].lower() else m[0], pattern.lstrip("^"))
    text = re.sub(r"\\(.)", r"\1", text)
    if re.search(r"[\[\]|*?$^]", text.replace("?", "") if "?" not in text else text):
        raise SystemExit(f"a pattern that is more than a text, add it to REGEXES: {pattern}")
    return [text.strip().lower()]


def bounded(word, agent):
    """As the program looks for words: 0 none, else how open the ends must be."""
    agent = agent.lower()
    best = None
    for m in re.finditer(re.escape(word), agent):
        before, after = agent[m.start() - 1:m.start()], agent[m.end():m.end() + 1]
        starts = not (word[0].isalnum() and before.isalnum())
        ends = not (word[-1].isalnum() and after.isalnum())
        cost = (not starts) + (not ends)
        if best is None or cost < best[0]:
            best = (cost, starts, ends)
    return best


def main():
    entries = json.loads(pathlib.Path(sys.argv[1]).read_text()) if len(sys.argv) > 1 else packaged()
    rows, agents = {}, []
    for entry in entries:
        kind = next((KINDS[tag] for tag in entry.get("tags", []) if tag in KINDS), "crawler")
        agents += entry["instances"]
        for word in literals(entry["pattern"]):
            if word in NOT_A_BOT or not word.isascii():
                continue
            found = [bounded(word, agent) for agent in entry["instances"]]
            found = [f for f in found if f]
            open_start = any(not f[1] for f in found) and len(word) > 5
            open_end = any(not f[2] for f in found) and len(word) > 5
            rows.setdefault(("*" if open_start else "") + word + ("*" if open_end else ""), kind)
    with open(HERE / "bots.tsv", "w") as out:
        out.write("# Words of programs' user agents, from crawler-user-agents (MIT, see NOTICE), written by update-bots.py.\n"
                  "# Word, in lower case, with * where it may go on; kind: crawler, preview, library, headless, monitor, scanner.\n")
        out.writelines(f"{word}\t{kind}\n" for word, kind in sorted(rows.items()))
    with open(HERE / "bot-agents.txt", "w") as out:
        out.writelines(f"{agent}\n" for agent in sorted({" ".join(agent.split()) for agent in agents}))


main()
