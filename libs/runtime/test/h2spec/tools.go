//go:build tools

// Package tools names the program that the test of HTTP/2 builds, so that go.mod pins all of it.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
