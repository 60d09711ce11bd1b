// Package web holds the templates and assets of the pages. It has no logic;
// package server parses and serves them.
package web

import "embed"

// Files has templates/*.html, one per page with frame.html around them and
// parts.html shared, and assets/, served as they are.
//
//go:embed templates assets
var Files embed.FS
