/**
 * The manual of `aegis secret`.
 */
import { type CommandManual, json } from "./ManualEntry.ts"

export const secretCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["secret", "set"],
    summary: "Store a secret, or replace it",
    positionals: ["KEY", "[VALUE]"],
    guestCommand: false,
    discreet: true,
    flags: [json],
    details:
      "Without VALUE, or with -, it is asked for on a terminal without being shown, and else read from standard input, less one\nnewline at its end. A VALUE on the command line can be seen by other programs of this machine while the command runs.\nKEY is letters, digits and _. A guest that runs keeps the value it has; the next start gets the new one.",
    examples: [
      "aegis secret set API_KEY sk-test123",
      "aegis secret set API_KEY",
      "aegis secret set TLS_KEY < key.pem",
      "aegis run --secret API_KEY -- python app.py"
    ]
  },
  {
    path: ["secret", "list"],
    summary: "List the names of the secrets",
    positionals: [],
    guestCommand: false,
    flags: [json],
    details: "Values are never shown.",
    examples: ["aegis secret list"]
  },
  {
    path: ["secret", "delete"],
    summary: "Delete a secret",
    positionals: ["KEY"],
    guestCommand: false,
    flags: [json],
    details: "A guest that runs keeps the value it has; one that is to be given it does not start any more.",
    examples: ["aegis secret delete API_KEY"]
  },
  {
    path: ["secret", "import"],
    summary: "Store the secrets of a .env file",
    positionals: ["FILE"],
    guestCommand: false,
    flags: [json],
    details: "All of them or, where one cannot be stored, none. FILE may be - for standard input.",
    examples: ["aegis secret import .env", "pass show app/env | aegis secret import -"]
  },
  {
    path: ["secret", "export"],
    summary: "Print the names of the secrets, one a line",
    positionals: [],
    guestCommand: false,
    flags: [{ name: "--names", about: "Only the names: values never leave the vault but for a guest" }, json],
    examples: ["aegis secret export --names"]
  },
  {
    path: ["secret", "rotate-key"],
    summary: "Encrypt all secrets anew with a new key",
    positionals: [],
    guestCommand: false,
    flags: [json],
    details:
      "The old key is gone afterwards: a copy of it opens no copy of the vault that is made from now on. Where somebody may have\nread the old key, the values themselves must be replaced as well.",
    examples: ["aegis secret rotate-key"]
  }
]
