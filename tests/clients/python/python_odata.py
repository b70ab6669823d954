"""A session of python-odata: it reads $metadata, makes classes of it, builds queries, follows the next links.

crates/cosell/tests/clients.rs starts the server and sets the environment.
"""

import datetime
import os
import unittest

import requests
from odata import ODataService
from odata.exceptions import ODataError
from odata.flags import ODataServerFlags

SERVICE = os.environ["SERVER_URL"] + "/v1.0/"
EXTENDED = os.environ["SERVER_MODE"] == "extended"


def connected():
    """The service as the library reflects it. The set's address is that of the service document: the library would
    take the set's name for it."""
    session = requests.Session()
    session.trust_env = False  # no proxy stands before a local server
    session.headers["Authorization"] = "Bearer " + os.environ["SERVER_TOKEN"]
    flags = ODataServerFlags(skip_null_properties=True, provide_odata_type_annotation=False)
    service = ODataService(SERVICE, session=session, reflect_entities=True, quiet_progress=True, server_flags=flags)
    (entry,) = session.get(SERVICE).json()["value"]
    entities = service.entities[entry["name"]]
    entities.__odata_collection__ = entry["url"]
    return service, entities


SERVICE_OBJECT, Referral = connected()
ALL = SERVICE_OBJECT.query(Referral).all()


def query():
    return SERVICE_OBJECT.query(Referral)


def ids(rows):
    return [row["id"] if isinstance(row, dict) else row.id for row in rows]


class Metadata(unittest.TestCase):
    def test_the_entity_set_and_its_key_are_reflected(self):
        self.assertEqual(list(SERVICE_OBJECT.entities), ["Referrals"])
        self.assertTrue(Referral.id.primary_key)

    def test_the_properties_have_the_types_of_the_resource(self):
        kinds = {
            "createdDateTime": "DatetimeProperty",
            "favorite": "BooleanProperty",
            "name": "StringProperty",
            "status": "EnumTypeProperty",
            "substatus": "EnumTypeProperty",
            "relatedReferrals": "NavigationProperty",
        }
        self.assertEqual({name: type(getattr(Referral, name)).__name__ for name in kinds}, kinds)

    def test_every_member_of_a_referral_is_a_property(self):
        answer = query().raw({"$top": 1})[0]
        self.assertEqual([name for name in answer if not hasattr(Referral, name)], [])

    def test_the_members_of_an_enumeration_are_those_on_the_wire(self):
        members = {member.name for member in Referral.status.enum_class}
        self.assertEqual(members, {"None", "New", "Active", "Closed"})
        self.assertEqual({row.status.name for row in ALL}, {"New", "Active", "Closed"})
        for row in ALL:
            self.assertIn(row.substatus, Referral.substatus.enum_class)
            self.assertIn(row.type, Referral.type.enum_class)


class Reads(unittest.TestCase):
    def assert_rows(self, rows, expected):
        self.assertTrue(0 < len(expected) < len(ALL), f"{len(expected)} rows would show nothing")
        self.assertEqual(ids(rows), ids(expected))

    def test_every_referral_comes_once_newest_first_over_several_pages(self):
        self.assertGreater(len(ALL), 100)
        self.assertEqual(len(set(ids(ALL))), len(ALL))
        times = [row.createdDateTime for row in ALL]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertEqual(ids(query().raw({"$orderby": "createdDateTime desc", "$top": 100})), ids(ALL[:100]))

    def test_an_enumeration_as_text(self):
        self.assert_rows(query().filter("status eq 'New'"), [row for row in ALL if row.status.name == "New"])

    def test_two_filters_are_joined(self):
        found = query().filter("direction eq 'Incoming'").filter(Referral.closedDateTime.is_null())
        expected = [row for row in ALL if row.direction.name == "Incoming" and row.closedDateTime is None]
        self.assert_rows(found, expected)

    def test_and_or_and_their_brackets(self):
        start, end = ALL[90].createdDateTime, ALL[30].createdDateTime
        within = (Referral.createdDateTime >= start) & (Referral.createdDateTime < end)
        found = query().filter(within | (Referral.name == ALL[3].name))
        expected = [row for row in ALL if start <= row.createdDateTime < end or row.name == ALL[3].name]
        self.assert_rows(found, expected)

    def test_a_time_with_another_offset(self):
        east = ALL[40].createdDateTime.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
        expected = [row for row in ALL if row.createdDateTime > east]
        self.assert_rows(query().filter(Referral.createdDateTime > east), expected)

    def test_a_boolean(self):
        self.assertEqual(ids(query().filter(Referral.favorite == False)), ids(row for row in ALL if not row.favorite))

    def test_a_key(self):
        self.assertEqual(query().get(ALL[5].id).name, ALL[5].name)

    def test_a_guid(self):
        engagement = ALL[2].engagementId
        found = query().filter(Referral.engagementId == engagement)
        self.assertIn(ALL[2].id, ids(found))
        self.assertEqual({row.engagementId for row in found}, {engagement})

    def test_text_functions(self):
        named = [row for row in ALL if row.name is not None]
        word, start = named[0].name.split()[-1], named[0].name[:3]
        self.assert_rows(query().filter(Referral.name.contains(word)), [row for row in named if word in row.name])
        self.assert_rows(query().filter(Referral.name.lacks(word)), [row for row in named if word not in row.name])
        expected = [row for row in named if row.name.startswith(start)]
        self.assert_rows(query().filter(Referral.name.startswith(start)), expected)

    def test_order_limit_and_offset(self):
        found = query().order_by(Referral.createdDateTime.asc()).limit(10).offset(5).all()
        self.assert_rows(found, sorted(ALL, key=lambda row: (row.createdDateTime, row.id))[5:15])

    def test_first(self):
        self.assertEqual(query().order_by(Referral.createdDateTime.desc()).first().id, ALL[0].id)

    def test_a_selection_over_several_pages(self):
        rows = query().select(Referral.id, Referral.name).all()
        self.assertEqual(ids(rows), ids(ALL))
        self.assertEqual({tuple(sorted(row)) for row in rows}, {("id", "name")})


class Refusals(unittest.TestCase):
    def assert_refused(self, act, status, code, *words):
        with self.assertRaises(ODataError) as raised:
            act()
        self.assertIn(f"HTTP {status} | {code} | ", str(raised.exception))
        for word in words:
            self.assertIn(word, str(raised.exception))

    def test_an_enumeration_of_another_product_is_no_type_here(self):
        # The library writes one foreign namespace before every enumeration value.
        act = query().filter(Referral.status == Referral.status.enum_class["New"]).all
        self.assert_refused(act, 400, "invalidRequest", "Microsoft.Dynamics.DataEntities.")

    def test_a_time_without_an_offset(self):
        act = query().filter(Referral.createdDateTime > datetime.datetime(2024, 1, 1)).all
        self.assert_refused(act, 400, "invalidRequest")

    def test_an_unknown_member(self):
        self.assert_refused(query().filter("nmae eq 'x'").all, 400, "invalidRequest", "nmae")

    def test_an_update_as_a_plain_object_changes_nothing(self):
        mine = query().get(ALL[0].id)
        before = mine.name
        mine.name = "Renamed"
        status, code = (400, "invalidRequest") if EXTENDED else (404, "itemNotFound")
        self.assert_refused(lambda: SERVICE_OBJECT.save(mine), status, code)
        self.assertEqual(query().get(ALL[0].id).name, before)

    def test_a_delete(self):
        mine = query().get(ALL[0].id)
        status, code = (405, "invalidRequest") if EXTENDED else (404, "itemNotFound")
        self.assert_refused(lambda: SERVICE_OBJECT.delete(mine), status, code)
        self.assertEqual(query().get(ALL[0].id).id, mine.id)


class Additions(Refusals):
    """What the real service does not offer: a refusal in strict."""

    def test_the_number_alone(self):
        count = query().filter("status eq 'Active'").count
        if EXTENDED:
            self.assertEqual(count(), len([row for row in ALL if row.status.name == "Active"]))
        else:
            self.assert_refused(count, 404, "itemNotFound")

    def test_an_aggregate(self):
        act = lambda: query().raw({"$apply": "groupby((status),aggregate($count as Number))"})
        if EXTENDED:
            expected = {}
            for row in ALL:
                expected[row.status.name] = expected.get(row.status.name, 0) + 1
            self.assertEqual({row["status"]: row["Number"] for row in act()}, expected)
        else:
            self.assert_refused(act, 400, "invalidRequest")

    def test_the_related_referrals_of_one(self):
        row = ALL[0]
        if EXTENDED:
            related = row.relatedReferrals
            self.assertIn(row.id, ids(related))
            self.assertEqual({each.engagementId for each in related}, {row.engagementId})
        else:
            self.assert_refused(lambda: row.relatedReferrals, 404, "itemNotFound")

    def test_expanded_referrals(self):
        act = query().expand(Referral.relatedReferrals).limit(3).all
        if EXTENDED:
            for row in act():
                self.assertIn(row.id, ids(row.relatedReferrals))
        else:
            self.assert_refused(act, 400, "invalidRequest")


class Writes(unittest.TestCase):
    # The last class by its name: it adds a row to those that the others know.

    def test_a_deal_of_ones_own(self):
        deal = Referral()
        deal.name = "Wide World Importers: a new till"
        deal.qualification = Referral.qualification.enum_class["SalesQualified"]
        deal.type = Referral.type.enum_class["Independent"]
        deal.externalReferenceId = "python-odata-1"
        person = {"firstName": "Mika", "lastName": "Aho", "phoneNumber": "+1 425 555 0100"}
        address = {"addressLine1": "1 Harbour Road", "city": "Redmond", "state": "WA", "postalCode": "98052"}
        deal.customerProfile = {
            "name": "Wide World Importers",
            "size": "10to50employees",
            "address": {**address, "country": "US"},
            "team": [{**person, "email": "mika.aho@wideworldimporters.example"}],
        }
        deal.consent = {
            "consentToToShareInfoWithOthers": True,
            "consentToContact": True,
            "consentToShareReferralWithMicrosoftSellers": False,
        }
        closing = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=90)
        deal.details = {
            "dealValue": 50000,
            "currency": "USD",
            "closingDateTime": closing.strftime("%Y-%m-%dT00:00:00Z"),
            "requirements": {"solutions": [{"id": "SOL-34104-EBB", "name": "Field Suite", "type": "Name"}]},
        }
        deal.team = [{**person, "email": "user@contoso.example"}]
        SERVICE_OBJECT.save(deal)
        self.assertEqual((deal.status.name, deal.substatus.name), ("Active", "Accepted"))
        again = query().filter(Referral.externalReferenceId == "python-odata-1").one()
        self.assertEqual((again.id, again.name), (deal.id, deal.name))


if __name__ == "__main__":
    unittest.main()
