package config_test

import (
	"maps"
	"strings"
	"testing"
)

// Policies of Pomerium that are not looked for by name are named with their ids.
func TestPolicyIDs(t *testing.T) {
	c, err := read(example("POMERIUM_POLICY_IDS=jit-example=AbC_1, wiki=2"))
	want := map[string]string{"jit-example": "AbC_1", "wiki": "2"}
	if err != nil || !maps.Equal(c.Pomerium.PolicyIDs(), want) {
		t.Errorf("%v, %v", c.Pomerium.PolicyIDs(), err)
	}
	for _, text := range []string{"jit-example", "=x", "jit-example=", "Jit=x", "a/b=x", "a=../x", "a=x=y", "a=1,a=2", "a=1,b=1"} {
		if _, err := read(example("POMERIUM_POLICY_IDS=" + text)); err == nil || !strings.Contains(err.Error(), "POMERIUM_POLICY_IDS") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
