#!/usr/bin/env python3
"""Writes test-places.mmdb, a city database of three networks for the tests of src/ship/enrich/place.rs; the places are made up.

Needs the package mmdb_writer (PyPI).
"""
import pathlib

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def place(country, name, region, city, zone):
    known = {"country": {"iso_code": country, "names": {"en": name}}, "location": {"time_zone": zone}}
    if region:
        known["subdivisions"] = [{"names": {"en": region}}]
    if city:
        known["city"] = {"names": {"en": city}}
    return known


writer = MMDBWriter(6, "Test-City", languages=["en"], ipv4_compatible=True)
writer.insert_network(IPSet(["5.5.5.0/24"]), place("UA", "Ukraine", "Kyiv City", "Kyiv", "Europe/Kyiv"))
writer.insert_network(IPSet(["5.5.6.0/24"]), place("DE", "Germany", None, None, "Europe/Berlin"))
writer.insert_network(IPSet(["2a01:100::/32"]), place("PL", "Poland", "Mazovia", "Warsaw", "Europe/Warsaw"))
# Nobody is looked up in it who is not on the public internet.
writer.insert_network(IPSet(["10.0.0.0/8"]), place("XX", "Nowhere", None, None, "UTC"))
writer.to_db_file(str(pathlib.Path(__file__).with_name("test-places.mmdb")))
