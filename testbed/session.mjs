import * as path from "node:path"

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`

/** Folders that get a fresh, empty tmpfs: what the host keeps there is other programs' business. */
const emptied = ["/tmp", "/var/tmp"]

const within = (folder, file) => file === folder || file.startsWith(`${folder}/`)

/** Keeps a folder that lies under one of the emptied ones visible: through a mount of the view underneath. */
const keep = (folder) =>
  `mkdir -p /run/host${quote(folder)} && mount --rbind ${quote(folder)} /run/host${quote(folder)}`
const showAgain = (folder) => `mkdir -p ${quote(folder)} && mount --rbind /run/host${quote(folder)} ${quote(folder)}`

const placeFile = ({ isDirectory, to }, index) =>
  `mkdir -p ${quote(isDirectory ? to : path.dirname(to))}\n` +
  (isDirectory ? "" : `[ -e ${quote(to)} ] || : > ${quote(to)}\n`) +
  `mount --bind /run/testbed/files/${index} ${quote(to)}`

/**
 * The busybox sh script that is PID 1 once the machine's root is in place: prepares what this job asked for, runs it,
 * tells the host. Over the second port it sends lines: `ready UPTIME`, then `exit CODE`; the first port carries the
 * job's output, byte for byte.
 * @param {{
 *   visible: ReadonlyArray<string>
 *   files: ReadonlyArray<{ to: string, isDirectory: boolean }>
 *   dataPath: string
 *   cwd: string
 *   env: Readonly<Record<string, string>>
 *   hostname: string
 * }} options
 */
export const sessionScript = ({ cwd, dataPath, env, files, hostname, visible }) => {
  const hidden = visible.filter((folder) => emptied.some((empty) => within(empty, folder)))
  const variables = Object.entries({ TESTBED_DATA: dataPath, AEGIS_HOME: path.join(dataPath, "aegis"), ...env })
  return `#!/bin/busybox sh
# The host's own programs come over 9p; busybox is at hand.
/run/testbed/busybox mkdir /run/testbed/bin
/run/testbed/busybox --install -s /run/testbed/bin
PATH=/run/testbed/bin

tries=0
until [ -c /dev/vport*p1 ] && [ -c /dev/vport*p2 ] || [ $tries = 500 ]; do
  tries=$((tries + 1))
  usleep 10000
done
out=$(echo /dev/vport*p1) control=$(echo /dev/vport*p2)
exec 9> "$control" < /dev/null

echo ${quote(hostname)} > /proc/sys/kernel/hostname
printf '127.0.0.1 localhost %s\\n::1 localhost\\n' ${quote(hostname)} > /etc/hosts
ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/0 /dev/stdin
ln -sfn /proc/self/fd/1 /dev/stdout
ln -sfn /proc/self/fd/2 /dev/stderr
chmod 0666 /dev/kvm

${hidden.map(keep).join("\n")}
${emptied.map((folder) => `mount -t tmpfs -o mode=1777 tmp ${folder}`).join("\n")}
${hidden.map(showAgain).join("\n")}
${files.map(placeFile).join("\n")}
mkdir -p ${quote(dataPath)} && mount --bind /run/testbed/data ${quote(dataPath)}

# A virtio port opens once only, so a job that reopens /dev/stdout needs a pipe in between.
mkfifo /run/testbed/output
cat < /run/testbed/output > "$out" 9>&- &
relay=$!
(
  exec 9>&- > /run/testbed/output 2>&1
${variables.map(([name, value]) => `  export ${name}=${quote(value)}`).join("\n")}
  export PATH=${quote(`${env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`)}
  cd ${quote(cwd)} || exit 125
  exec /run/testbed/bin/setsid /bin/bash /run/testbed/job
) &
job=$!
read -r uptime _ < /proc/uptime
echo "ready $uptime" >&9
wait "$job"
code=$?

# What the job left running holds the pipe open; the relay ends when the last of them has.
for process in /proc/[0-9]*; do
  process=\${process#/proc/}
  [ "$process" = 1 ] || [ "$process" = "$relay" ] || kill -9 "$process" 2> /dev/null
done
wait "$relay"
echo "exit $code" >&9
poweroff -n -f
`
}
