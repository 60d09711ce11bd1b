//go:build race

package main

// allocating is how many times as much is allocated where the race detector watches.
const allocating = 8
