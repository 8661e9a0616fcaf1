/**
 * The manual of `aegis cp`.
 */
import { type CommandManual, json } from "./ManualEntry.ts"

export const copyCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["cp"],
    summary: "Copy files into an instance, or out of it",
    positionals: ["FROM", "TO"],
    guestCommand: false,
    flags: [json],
    details:
      "One of the two is a file or directory of an instance, HANDLE_OR_ID:/PATH. The other one is of this machine, or - for a tar\narchive on standard input or output; ./a:b is a file with a colon in its name. Where TO is a directory that is there, the\ncopy goes into it; elsewhere TO is the copy's name.\n\nAn instance that is paused is resumed, one that starts is waited for; one that is stopped is an error. Files, directories\nand symlinks are copied. Out of a guest nothing is written outside of TO: a symlink that leads out of the copy is left out,\nand told.",
    examples: [
      "aegis cp src web:/workspace",
      "aegis cp web:/var/log/app.log .",
      "tar c src | aegis cp - web:/workspace",
      "aegis cp web:/etc - | tar t"
    ]
  }
]
