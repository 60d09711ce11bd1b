package main

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
	"jitaccess/internal/policy"
)

// A policy that lets people break the glass needs a ledger that is configured; whether it
// can be reached is no matter of the policy.
func TestABreakGlassPolicyNeedsALedger(t *testing.T) {
	file, faults := policy.ReadFile([]byte(`version: 1
rules: [{name: production, terms: {break_glass: {who: ["user:ana@example.com"], max_duration: 1h, review_by: ["user:eve@example.com"]}}}]
`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var c config.Config
	faults = file.Faults(enforced(&c))
	if len(faults) != 1 || !strings.Contains(faults[0].Text, "break_glass needs a ledger") {
		t.Errorf("without: %v", faults)
	}
	c.Ledger.Database = config.StoredText{Value: config.NewSecret("postgres://nowhere.example.com/x")}
	if faults = file.Faults(enforced(&c)); len(faults) > 0 {
		t.Errorf("with one: %v", faults)
	}
}
