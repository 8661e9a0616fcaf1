import { Exposure, Exposures } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { SpokenExposure } from "../src/index.ts"

const decode = Schema.decodeEither(SpokenExposure)

describe("--expose", () => {
  it("S-070 takes PORT[:PROTO] and [HOSTPORT:]PORT[/PROTO]", () => {
    const table = {
      "80": { port: 80, protocol: "http" },
      "80:http": { port: 80, protocol: "http" },
      "5432:tcp": { port: 5432, protocol: "tcp" },
      "5432/tcp": { port: 5432, protocol: "tcp" },
      "8080:80": { port: 80, protocol: "http", hostPort: 8080 },
      "8080:80/tcp": { port: 80, protocol: "tcp", hostPort: 8080 },
      "65535": { port: 65535, protocol: "http" }
    } as const
    for (const [text, exposure] of Object.entries(table)) {
      assert.deepStrictEqual(Either.getOrThrow(decode(text)), new Exposure(exposure), text)
    }
  })

  it("S-070 T-5 refuses what has another reading or none", () => {
    const bad = [
      "0",
      "65536",
      "-1",
      "80.5",
      "080",
      "0x50",
      "８０",
      "80:udp",
      "80/udp",
      "80:",
      ":80",
      "",
      " 80",
      "80 ",
      "80\n"
    ]
    for (const text of [...bad, "80:sctp", "80:TCP", "1:2:3", "8080:80:tcp", "0:80", "65536:80", "1e2", "+80"]) {
      assert.isTrue(Either.isLeft(decode(text)), text)
    }
    assert.include(String(Either.getLeft(decode("80/udp"))), "udp cannot be exposed")
  })

  it("T-5 a port twice, and more than can be", () => {
    const take = Schema.decodeUnknownEither(Exposures)
    assert.isTrue(Either.isLeft(take([{ port: 80 }, { port: 80, protocol: "tcp" }])))
    assert.isTrue(
      Either.isLeft(
        take([
          { port: 80, hostPort: 9000 },
          { port: 81, hostPort: 9000 }
        ])
      )
    )
    assert.isTrue(Either.isLeft(take(Array.from({ length: 400 }, (_, i) => ({ port: i + 1 })))))
    assert.isTrue(Either.isRight(take([{ port: 80 }, { port: 81 }])))
  })
})
