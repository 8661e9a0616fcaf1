/**
 * The examples of the reference that this product was specified by (`shared/spec/cli-reference.md`), in its order, as one session on one
 * machine. What is printed must be what the reference prints; where it is not, a line says what is, and why.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { dist, until } from "../product/Product.ts"
import { linesOf, shapeOf, terminal } from "../product/Transcript.ts"

const document = path.resolve(import.meta.dirname, "../../../shared/spec/cli-reference.md")

interface Example {
  readonly command: string
  /** What the reference prints. */
  readonly printed?: string
  /** What stands in the place of what the reference prints. */
  readonly ours?: { readonly printed: string; readonly why: string }
  /** The words above are the first lines of what is printed, or some of its lines; else they are all of it. */
  readonly as?: "begins" | "holds"
  /** It goes on until Ctrl+C. */
  readonly stays?: true
  /** What must have happened: the reference's examples are of different days. */
  readonly before?: ReadonlyArray<string>
}

const confirms = "the reference shows no output here (S-115); a word of confirmation stands there"
const ownFiles = "its temporary workspace is empty (S-062), so that python finds no such file and says so"

const examples: ReadonlyArray<Example> = [
  { command: "aegis up", printed: "aegisd started (pid 48201)\n" },
  { command: "aegis down", printed: "aegisd stopping (pid 48201)\naegisd stopped\n" },
  {
    command: "aegis status",
    printed: "aegisd: running\nbackend: libkrun\n",
    ours: { printed: "aegisd: running\nbackend: qemu\n", why: "this machine's backend; the testbed's is libkrun" },
    before: ["aegis up"]
  },
  { command: 'aegis run -- echo "hello from aegis"', printed: "hello from aegis\n" },
  {
    command: "aegis run --secret API_KEY --expose 80 -- python app.py",
    ours: {
      printed: "python: can't open file '/workspace/app.py': [Errno 2] No such file or directory\n",
      why: ownFiles
    },
    before: ["aegis secret set API_KEY sk-other"]
  },
  {
    command: "aegis run --secret '*' -- python agent.py",
    ours: {
      printed: "python: can't open file '/workspace/agent.py': [Errno 2] No such file or directory\n",
      why: ownFiles
    }
  },
  {
    command: "aegis run --expose 80 -- python -m http.server 80",
    printed: "Serving on http://127.0.0.1:8099\n",
    stays: true
  },
  {
    command: "aegis instance start --name web --expose 80 --workspace myapp -- python3 -m http.server 80",
    printed: "Instance started: inst-173f...\nHandle: web\nRouter: http://127.0.0.1:8099\n"
  },
  { command: "aegis instance stop web", ours: { printed: "Instance web stopped\n", why: confirms } },
  { command: "aegis instance start --name web", printed: "Instance restarted: inst-173f...\n" },
  {
    command: "aegis instance list",
    printed:
      "ID                             HANDLE          STATE      STOPPED AT\n" +
      "inst-1739893456789012345       web             running    -\n" +
      "inst-1739893456789054321       worker          stopped    2026-02-19T10:30:00Z\n",
    before: ["aegis instance start --name worker -- true", "aegis instance wait worker", "aegis exec web -- true"]
  },
  {
    command: "aegis instance list --stopped",
    printed:
      "ID                             HANDLE          STATE      STOPPED AT\n" +
      "inst-1739893456789054321       worker          stopped    2026-02-19T10:30:00Z\n"
  },
  {
    command: "aegis instance info web",
    printed:
      "ID:          inst-1739893456789012345\nState:       running\nHandle:      web\nCommand:     python3 -m http.server 80\n" +
      "Ports:       80\nEndpoints:\n  :80 → :49152 (http)\nConnections: 0\nCreated:     2026-02-19T10:30:00Z\nLast Active: 2026-02-19T10:35:00Z\n",
    as: "begins"
  },
  {
    command: "aegis instance prune --stopped-older-than 7d",
    printed: "Pruned 3 stopped instance(s)\n",
    before: ["eight-days-ago", "aegis up", "aegis instance start --name web", "aegis exec web -- true"]
  },
  { command: "aegis exec web -- echo hello", printed: "hello\n" },
  {
    command: "aegis exec inst-1739893456789012345 -- ls /workspace",
    printed: "data/\noutput/\n",
    ours: { printed: "data\noutput\n", why: "ls marks directories where it is told to only" },
    before: ["aegis exec web -- mkdir -p data output"]
  },
  {
    command: "aegis logs web --follow",
    printed: 'Serving HTTP on 0.0.0.0 port 80 ...\n127.0.0.1 - - [19/Feb/2026 10:35:12] "GET / HTTP/1.1" 200 -\n',
    ours: {
      printed: '127.0.0.1 - - [19/Feb/2026 10:35:12] "GET / HTTP/1.1" 200 -\n',
      why: "python keeps what it prints first in a buffer while its output is no terminal"
    },
    as: "holds",
    stays: true,
    before: ["curl -sS -H 'X-Aegis-Instance: web' http://127.0.0.1:8099/"]
  },
  { command: "aegis secret set API_KEY sk-test123", printed: "Secret API_KEY set\n" },
  {
    command: "aegis secret list",
    printed: "Secrets:\n  API_KEY\n  DB_PASSWORD\n",
    before: ["aegis secret set DB_PASSWORD other"]
  },
  { command: "aegis secret delete API_KEY", printed: "Secret API_KEY deleted\n" },
  {
    command: "aegis mcp install",
    printed: "aegis MCP server registered in Claude Code\n  binary: /opt/homebrew/bin/aegis-mcp\n  scope:  user\n"
  }
]

/** Programs that stand beside `aegis` here: Claude Code's, and one that leaves three instances which stopped eight days ago. */
const beside = {
  claude: "exit 0",
  "eight-days-ago": `set -e
aegis down
node --require "$0.cjs" ${dist}/aegisd & daemon=$!
trap 'kill $daemon 2> /dev/null || true' EXIT
until aegis status | grep -q '^aegisd: running'; do sleep 0.1; done
for i in 1 2 3; do aegis instance start --name old$i --memory 64 -- true; aegis instance wait old$i; done
aegis down
wait $daemon`,
  "eight-days-ago.cjs": `const real = Date.now
Date.now = () => real() - 8 * 86_400_000
globalThis.Date = new Proxy(Date, { construct: (of, args) => new of(...(args.length === 0 ? [Date.now()] : args)) })`
}

describe("the reference that this product was specified by", () => {
  let at: Awaited<ReturnType<typeof terminal>>

  beforeAll(async () => {
    at = await terminal()
    for (const [name, text] of Object.entries(beside)) {
      const head = name.endsWith(".cjs") ? "" : "#!/bin/sh\n"
      writeFileSync(path.join(at.bin, name), `${head}${text}\n`, { mode: 0o755 })
    }
  })
  afterAll(() => at?.remove())

  const begin = (command: string) => at.begin(`exec ${command}`)
  const shown = (stdout: string) => shapeOf(at.shown(stdout).replaceAll(dist, "/opt/homebrew/bin"))

  it("is what stands here, where it lies beside this checkout", () => {
    const blocks = existsSync(document)
      ? [...readFileSync(document, "utf8").matchAll(/^```\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
          linesOf(block.replaceAll(/^(# .*)?\n/gm, ""))
        )
      : examples.map(({ command, printed = "" }) => ({ command, printed }))
    assert.deepStrictEqual(
      examples.map(({ command, printed = "" }) => ({ command, printed })),
      blocks
    )
  })

  it("each of its examples prints what it says, or what is said here", { timeout: 600_000 }, async () => {
    for (const { as, before = [], command, ours, printed = "", stays } of examples) {
      for (const step of before) {
        const { code, stdout } = await begin(step).ended
        assert.strictEqual(code, 0, `${step}: ${stdout}`)
      }
      const { stdout: web } = await begin("aegis instance info web").ended
      const id = /inst-\d+/.exec(web)?.[0] ?? ""
      const expected = shapeOf(ours?.printed ?? printed)
      const running = begin(command.replace("inst-1739893456789012345", id))
      const fits = (said: string) => {
        if (as === "begins") return said.startsWith(expected)
        return as === "holds" ? said.includes(expected) : said === expected
      }
      if (stays) await until(command, () => fits(shown(running.stdout()))).catch(() => undefined)
      else await running.ended
      const said = shown(running.stdout())
      running.child.kill("SIGINT")
      await running.ended
      if (!fits(said)) assert.strictEqual(said, expected, command)
    }
  })
})
