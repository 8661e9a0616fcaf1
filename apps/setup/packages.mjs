/**
 * What the machine must have: Node, Go and Rust, which a person installs, and Debian packages, which this program installs where
 * it may.
 */
import { exitCode, interrupted, output, outputIfAny, SetupError } from "./children.mjs"

/** @typedef {{ packages: ReadonlyArray<string>, probe: ReadonlyArray<string>, forTests?: boolean }} Requirement */

const qemu =
  process.arch === "arm64"
    ? { packages: ["qemu-system-arm"], probe: ["qemu-system-aarch64", "--version"] }
    : { packages: ["qemu-system-x86"], probe: ["qemu-system-x86_64", "--version"] }

/**
 * Any one of `packages` will do (the first is installed); `probe` is the command that succeeds where it is present, for systems
 * without dpkg.
 *
 * @type {ReadonlyArray<Requirement>}
 */
const requirements = [
  qemu,
  { packages: ["mmdebstrap"], probe: ["mmdebstrap", "--version"] },
  { packages: ["e2fsprogs"], probe: ["mkfs.ext4", "-V"] },
  { packages: ["libseccomp-dev"], probe: ["pkg-config", "--exists", "libseccomp"] },
  { packages: ["libcap-ng-dev"], probe: ["pkg-config", "--exists", "libcap-ng"] },
  { packages: ["pkg-config", "pkgconf"], probe: ["pkg-config", "--version"] },
  { packages: ["gcc"], probe: ["gcc", "--version"] },
  { packages: ["libc6-dev"], probe: ["gcc", "--version"] },
  { packages: ["g++"], probe: ["g++", "--version"] },
  { packages: ["make"], probe: ["make", "--version"] },
  { packages: ["python3"], probe: ["python3", "--version"] },
  { packages: ["uidmap"], probe: ["sh", "-c", "command -v newuidmap"] },
  { packages: ["ca-certificates"], probe: ["test", "-e", "/etc/ssl/certs"] },
  { packages: ["busybox-static", "busybox"], probe: ["busybox", "true"], forTests: true },
  { packages: ["kmod"], probe: ["modprobe", "--version"], forTests: true },
  { packages: ["cpio"], probe: ["cpio", "--version"], forTests: true },
  { packages: ["skopeo"], probe: ["skopeo", "--version"], forTests: true },
  { packages: ["umoci"], probe: ["umoci", "--version"], forTests: true },
  { packages: ["docker-registry"], probe: ["docker-registry", "--version"], forTests: true },
  { packages: ["apache2-utils"], probe: ["htpasswd", "-h"], forTests: true },
  { packages: ["fiu-utils"], probe: ["fiu-run", "-h"], forTests: true },
  { packages: ["openssl"], probe: ["openssl", "version"], forTests: true },
  { packages: ["tmux"], probe: ["tmux", "-V"], forTests: true },
  { packages: ["strace"], probe: ["strace", "--version"], forTests: true },
  { packages: ["iproute2"], probe: ["ip", "-V"], forTests: true },
  { packages: ["curl"], probe: ["curl", "--version"], forTests: true },
  { packages: ["python3-venv"], probe: ["python3", "-c", "import ensurepip"], forTests: true },
  { packages: ["slowhttptest"], probe: ["slowhttptest", "-h"], forTests: true },
  { packages: ["nghttp2-server"], probe: ["nghttpd", "--version"], forTests: true },
  { packages: ["chromium-headless-shell"], probe: ["chromium-headless-shell", "--version"], forTests: true }
]

/** @param {{ forTests: boolean }} options */
export const requiredPackages = ({ forTests }) =>
  requirements.filter((requirement) => forTests || requirement.forTests !== true)

/**
 * The packages to install, from the answer of `dpkg-query -W -f '${Package}\t${db:Status-Status}\n'`.
 *
 * @param {string} answer
 * @param {ReadonlyArray<Requirement>} wanted
 */
export const missingPackages = (answer, wanted) => {
  const installed = new Set(
    answer
      .split("\n")
      .map((line) => line.split("\t"))
      .filter(([, status]) => status === "installed")
      .map(([name]) => name)
  )
  return wanted
    .filter(({ packages }) => !packages.some((name) => installed.has(name)))
    .flatMap(({ packages }) => packages.slice(0, 1))
}

/** @typedef {{ name: string, found: string | undefined, needed: string, remedy: string }} ToolProblem */

/**
 * A tool that is missing or too old, as data; `undefined` if it will do.
 *
 * @param {"Go" | "Cargo"} name
 * @param {string | undefined} answer What the tool prints as its version.
 * @returns {ToolProblem | undefined}
 */
export const toolProblem = (name, answer) => {
  const tool = tools[name]
  const [, major, minor] = /(\d+)\.(\d+)/.exec(answer ?? "") ?? []
  const enough = Number(major) > tool.major || (Number(major) === tool.major && Number(minor) >= tool.minor)
  if (enough) return undefined
  const found = major === undefined ? undefined : `${major}.${minor}`
  return { name, found, needed: `${tool.major}.${tool.minor}`, remedy: tool.remedy }
}

const tools = {
  Go: {
    major: 1,
    minor: 24,
    remedy:
      "unpack https://go.dev/dl/ into /usr/local and put /usr/local/go/bin on PATH (Debian 12's golang package is too old)"
  },
  Cargo: {
    major: 1,
    minor: 85,
    remedy:
      "curl --proto '=https' -sSf https://sh.rustup.rs | sh, then put ~/.cargo/bin on PATH (Debian 12's cargo is too old)"
  }
}

/**
 * The one message that ends a setup which may not install what is missing.
 *
 * @param {{ packages: ReadonlyArray<string>, tools: ReadonlyArray<ToolProblem>, debian: boolean, root: boolean }} missing
 */
export const missingMessage = ({ debian, packages, root, tools: problems }) => {
  const lines = ["this machine lacks what the build needs:"]
  for (const { found, name, needed } of problems) {
    lines.push(`  - ${name} ${needed} or newer${found === undefined ? ", which is not installed" : `, found ${found}`}`)
  }
  for (const name of packages)
    lines.push(`  - the Debian package ${name}${debian ? "" : " (or your system's package of it)"}`)
  lines.push("install it with:")
  for (const { remedy } of problems) lines.push(`  ${remedy}`)
  if (packages.length > 0) {
    const sudo = root ? "" : "sudo "
    lines.push(`  ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends ${packages.join(" ")}`)
  }
  return lines.join("\n")
}

/**
 * Checks the tools and installs missing Debian packages. Ends with `missingMessage` where it may not.
 *
 * @param {{ forTests: boolean }} options
 * @param {import("./progress.mjs").StepLog} log
 */
export const ensurePackages = async (options, log) => {
  const [go, cargo] = await Promise.all([outputIfAny("go", ["version"]), outputIfAny("cargo", ["--version"])])
  const problems = [toolProblem("Go", go), toolProblem("Cargo", cargo)].filter((problem) => problem !== undefined)
  const wanted = requiredPackages(options)
  const debian = (await outputIfAny("dpkg-query", ["--version"])) !== undefined
  const missing = debian ? missingPackages(await dpkgAnswer(wanted), wanted) : await failedProbes(wanted)
  const root = process.getuid?.() === 0
  const complain = () => new SetupError(missingMessage({ packages: missing, tools: problems, debian, root }))
  if (missing.length > 0) {
    const sudo = root ? [] : ["sudo", "-n"]
    if (!debian || (!root && (await outputIfAny("sudo", ["-n", "true"])) === undefined)) throw complain()
    await aptInstall(missing, sudo, log)
  }
  // Said last, so that one more run is enough after the tools were installed.
  if (problems.length > 0) throw new SetupError(missingMessage({ packages: [], tools: problems, debian, root }))
  log.result(missing.length === 0 ? "all there" : `installed ${missing.join(" ")}`)
}

/** @param {ReadonlyArray<Requirement>} wanted */
const dpkgAnswer = async (wanted) => {
  let answer = ""
  const names = wanted.flatMap(({ packages }) => packages)
  // It exits with 1 if it does not know one of them, and has told about the others.
  await exitCode("dpkg-query", ["-W", "-f", "${Package}\\t${db:Status-Status}\\n", ...names], {
    onStdout: (chunk) => {
      answer += chunk.toString("utf8")
    }
  })
  return answer
}

/** @param {ReadonlyArray<Requirement>} wanted */
const failedProbes = async (wanted) => {
  const missing = []
  for (const { packages, probe } of wanted) {
    const [command = "false", ...args] = probe
    if ((await outputIfAny(command, args)) === undefined) missing.push(...packages.slice(0, 1))
  }
  return missing
}

/**
 * @param {ReadonlyArray<string>} packages
 * @param {ReadonlyArray<string>} sudo
 * @param {import("./progress.mjs").StepLog} log
 */
const aptInstall = async (packages, sudo, log) => {
  const apt = (/** @type {ReadonlyArray<string>} */ args) => {
    const [command = "apt-get", ...rest] = [
      ...sudo,
      "env",
      "DEBIAN_FRONTEND=noninteractive",
      "LC_ALL=C",
      "apt-get",
      ...args
    ]
    // With sudo the child keeps our terminal: without it sudo would not know that a password was given a moment ago.
    return exitCode(command, rest, { onOutput: log.write, foreground: sudo.length > 0 })
  }
  log.say("apt-get update")
  // A broken third-party source must not stop what Debian's own can give.
  await apt(["-q", "update"])
  log.say(`apt-get install ${packages.join(" ")}`)
  const wait = ["-o", "DPkg::Lock::Timeout=300"]
  const code = await apt(["-q", "-y", ...wait, "install", "--no-install-recommends", ...packages])
  if (code !== 0 && !interrupted()) {
    throw new SetupError(
      `apt-get could not install ${packages.join(" ")}`,
      `look at the log above, then: ${sudo.length > 0 ? "sudo " : ""}apt-get install ${packages.join(" ")}`
    )
  }
  if (packages.includes("docker-registry")) await quietRegistry(sudo)
}

/**
 * The tests start a registry of their own; Debian's package would have one listen on every interface from now on.
 *
 * @param {ReadonlyArray<string>} sudo
 */
const quietRegistry = async (sudo) => {
  const [command = "", ...rest] = [...sudo, "systemctl", "disable", "--now", "docker-registry"]
  await output(command, rest).catch(() => undefined)
}
