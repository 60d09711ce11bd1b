// Writes schema.json: what resources of the Google providers of Terraform have, as far as the
// modules use them. It takes the types of the npm package @cdktf/provider-google-beta (MPL-2.0),
// whose comments name each argument as Terraform does, and keeps names and types alone:
//
//	npm pack @cdktf/provider-google-beta@16.12.1 && tar xzf cdktf-provider-google-beta-16.12.1.tgz
//	node deploy/testdata/schema.mjs package
//
// "!" behind a name is required. What is in "blocks" is written as a block, all else with "=".
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const here = import.meta.dirname
const used = new Set()
for (const file of readdirSync(join(here, '../terraform'), { recursive: true })) {
  if (!file.endsWith('.tf')) continue
  const text = readFileSync(join(here, '../terraform', file), 'utf8')
  for (const [, kind, type] of text.matchAll(/^(resource|data) "([a-z0-9_]+)"/gm)) used.add((kind === 'data' ? 'data.' : '') + type)
}

const snake = (name) => name.replace(/[A-Z]/g, (c) => '_' + c.toLowerCase())
const schema = {}
for (const type of [...used].sort()) {
  const folder = type.replace('data.', 'data-').replaceAll('_', '-')
  const text = readFileSync(join(process.argv[2], 'lib', folder, 'index.d.ts'), 'utf8')
  const provider = text.match(/registry\.terraform\.io\/providers\/hashicorp\/(google[a-z-]*\/[0-9.]+)\//)[1]
  const parts = {}
  for (const [, name, body] of text.matchAll(/^export interface (\w+)[^{]*\{\n(.*?)^\}/gms)) parts[name] = body
  const read = (name) => {
    const found = { arguments: {}, blocks: {} }
    const member = /\{@link [^ ]*#(\w+) [^}]*\}[^/]*\*\/\s*readonly (\w+)(\??): (\{[^}]*\}|[^;]*);/g
    for (const [, anchor, camel, optional, kind] of (parts[name] ?? '').matchAll(member)) {
      const as = anchor + (optional ? '' : '!')
      const inner = kind.split(/[[ |]/)[0]
      if (inner in parts) found.blocks[as] = read(inner)
      else if (kind.startsWith('{')) found.arguments[as] = 'map'
      else if (kind.includes('[]')) found.arguments[as] = 'list'
      else found.arguments[as] = kind.split(' ')[0].replace('boolean', 'bool')
      if (anchor !== snake(camel) && !/[0-9]/.test(anchor)) console.error(`${type}: ${anchor} is called ${camel}`)
    }
    return found
  }
  const config = Object.keys(parts).find((name) => name.endsWith('Config') && /^export interface \w+Config extends/m.test(text) && text.includes(`export interface ${name} extends`))
  const main = text.slice(text.lastIndexOf('export declare class'))
  const exports = [...main.matchAll(/^    get (\w+)\(\)/gm)].map((m) => snake(m[1])).filter((name) => !name.endsWith('_input'))
  schema[type] = { provider, ...read(config), exports }
}
writeFileSync(join(here, 'schema.json'), JSON.stringify(schema, null, 1).replace(/\[\n\s+("[^\]]*?")\n\s+\]/g, (_, list) => '[' + list.replace(/\s*\n\s*/g, ' ') + ']') + '\n')
