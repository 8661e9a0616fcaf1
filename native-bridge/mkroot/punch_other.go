//go:build !linux

package main

import "os"

func punchHole(*os.File, int64, int64) {}
