//go:build !failpoints

package main

import (
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
)

// durableHome and durablePorts are what something durable is done through: what they
// return is used in place of what they are given. Built with the tag failpoints, for
// tests alone, the process can be ended before each of their calls; a test may have the
// home fail.

var durableHome = func(home ledger.Home) ledger.Home { return home }

func durablePorts(c broker.Config) broker.Config { return c }
