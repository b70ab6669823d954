// node load.js rows.jsonl: makes the tables in the database of the environment, fills them, adds the indexes of a list.
const fs = require('fs')
const readline = require('readline')
const cds = require('@sap/cds')

const ROWS_AT_ONCE = 1000

// CAP flattens structures to a_b names; arrays stay as they are.
function flattened(document, prefix = '', row = {}) {
  for (const [name, value] of Object.entries(document)) {
    if (value && typeof value === 'object' && !Array.isArray(value)) flattened(value, `${prefix}${name}_`, row)
    else row[prefix + name] = value
  }
  return row
}

async function load(file) {
  const model = await cds.load('*')
  cds.model = cds.compile.for.nodejs(model)
  cds.db = await cds.connect.to('db')
  await cds.deploy(model).to(cds.db)
  const { Referrals } = cds.entities('referrals')
  let rows = []
  const flush = async () => {
    if (rows.length) await cds.tx(tx => tx.run(INSERT.into(Referrals).entries(rows)))
    rows = []
  }
  for await (const line of readline.createInterface({ input: fs.createReadStream(file) })) {
    const document = JSON.parse(line)
    delete document.eTag // CAP's is the updatedDateTime, in milliseconds
    document.updatedDateTime = document.updatedDateTime.replace(/(\.\d{3})\d*Z/, '$1Z')
    rows.push(flattened(document))
    if (rows.length >= ROWS_AT_ONCE) await flush()
  }
  await flush()
  const table = 'referrals_Referrals'
  // CAP ends every order with the key, and names the column of the ETag in every answer, aggregations too.
  await cds.db.run(`CREATE INDEX referral_pending ON ${table} (direction, substatus, createdDateTime DESC, id)`)
  await cds.db.run(`CREATE INDEX referral_list ON ${table} (status, direction, createdDateTime DESC, id)`)
  await cds.db.run(`CREATE INDEX referral_created ON ${table} (createdDateTime DESC, id)`)
  await cds.db.run(`CREATE INDEX referral_status ON ${table} (status, updatedDateTime)`)
}

load(process.argv[2]).then(() => process.exit(0), error => { console.error(error); process.exit(1) })
