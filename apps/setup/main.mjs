/**
 * The project's setup program, run before anything is installed: `node apps/setup/main.mjs build|demo|test|bench|clean`.
 * This file only refuses a Node.js that could not read the others.
 */
if (Number.parseInt(process.versions.node, 10) < 20) {
  process.stderr.write(
    `error: Node.js 20 or newer is needed, this is ${process.version}\n` +
      `  try: install Node.js 20 from https://nodejs.org or https://deb.nodesource.com\n`
  )
  process.exit(1)
}

const { main } = await import("./commands.mjs")
await main(process.argv.slice(2))
