"""python load.py rows.jsonl: makes and fills REFERRALS_DB."""
import json
import sys

from sqlalchemy import insert

from app import Base, Referral, engine

ROWS_AT_ONCE = 5000


def row(document):
    return {
        "id": document["id"],
        "etag": document["eTag"],
        "created": document["createdDateTime"],
        "status": document["status"],
        "substatus": document["substatus"],
        "direction": document["direction"],
        "engagement": document["engagementId"],
        "name": document["name"],
        "document": document,
    }


Base.metadata.create_all(engine)
rows = []
with engine.begin() as connection, open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        rows.append(row(json.loads(line)))
        if len(rows) == ROWS_AT_ONCE:
            connection.execute(insert(Referral), rows)
            rows = []
    if rows:
        connection.execute(insert(Referral), rows)
