import { AegisPaths } from "@aegis/host"
import * as Qemu from "@aegis/vm-qemu"
import { afterAll } from "vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { busyboxDisk } from "../product/busyboxDisk.ts"
import { dist } from "../product/Product.ts"
import { conformance } from "./conformance.ts"

const home = mkdtempSync(path.join(tmpdir(), "aegis-qemu-"))
const rootDisk = path.join(home, "busybox.ext4")
busyboxDisk(rootDisk)
afterAll(() => rmSync(home, { recursive: true, force: true }))

const paths = AegisPaths.layer(dist).pipe(
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", home]])))),
  Layer.orDie
)

conformance("qemu, emulating", {
  backend: Effect.provide(Qemu.make("tcg"), paths),
  rootDisk,
  runDirectory: path.join(home, "data", "run"),
  patience: 3
})
