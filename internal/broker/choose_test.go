package broker_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// counted counts how often a condition is read.
type counted struct {
	*brokertest.World
	read int
}

func (c *counted) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	c.read++
	return c.World.Canonical(id)
}

func countedBroker(w *world) (*counted, *broker.Broker) {
	c := &counted{World: w}
	registration := w.Registration()
	registration.Provider = c
	return c, w.BrokerOf(registration)
}

func encoded(id, condition string) string {
	return id + ":" + base64.StdEncoding.EncodeToString([]byte(condition))
}

// What is asked for is compared as text, and only what may be another spelling of
// something that is held is read.
func TestWhatIsNotHeldIsNotRead(t *testing.T) {
	long := strings.Repeat(" && a < b", 800)
	for rule, c := range map[string]struct {
		texts []string
		code  access.Code
		read  int
	}{
		"as it is offered":                    {[]string{narrow.String()}, "", 0},
		"spelled otherwise":                   {[]string{encoded("shop:roles/compute.admin", `(resource.name)=='a'`)}, "", 1},
		"a condition on what has none":        {[]string{encoded("shop:roles/viewer.logs", "a < b")}, access.CodeNotEligible, 0},
		"a condition on what is not held":     {[]string{encoded("shop:roles/a", "a < b")}, access.CodeNotEligible, 0},
		"a condition of eight thousand":       {[]string{encoded("shop:roles/compute.admin", long)}, access.CodeBadEntitlement, 0},
		"a condition of some thousand":        {[]string{encoded("shop:roles/compute.admin", long[:4000])}, access.CodeNotEligible, 0},
		"another condition":                   {[]string{encoded("shop:roles/compute.admin", `resource.name == "b"`)}, access.CodeNotEligible, 2},
		"no condition of what is held":        {[]string{encoded("shop:roles/compute.admin", `((`)}, access.CodeBadEntitlement, 2},
		"nothing":                             {nil, access.CodeNoEntitlement, 0},
		"no id":                               {[]string{"x"}, access.CodeBadEntitlement, 0},
		"more than may be, whatever they are": {strings.Split(strings.Repeat(encoded("shop:roles/compute.admin", "a < b")+"\n", 100), "\n"), access.CodeTooManyRoles, 0},
	} {
		w := newWorld(t)
		w.Holdings[ana] = []access.Entitlement{brokertest.Self(narrow), brokertest.Self(viewer)}
		counter, b := countedBroker(w)
		choice, err := b.Choose(t.Context(), caller(ana), shop, c.texts...)
		if e := access.AsError(err); c.code == "" && (err != nil || choice.Roles[0].Entitlement.ID != narrow) || c.code != "" && (e == nil || e.Code != c.code) {
			t.Errorf("%s: %v", rule, err)
		}
		if counter.read > c.read {
			t.Errorf("%s: %d conditions were read, want %d", rule, counter.read, c.read)
		}
	}
}

// BenchmarkChooseOfManyIDs is a page with 16 KB of ids of somebody else's making.
func BenchmarkChooseOfManyIDs(b *testing.B) {
	w := newWorld(nil)
	w.Settings.MaxRoles = 10
	w.Holdings[ana] = []access.Entitlement{brokertest.Self(narrow), brokertest.Self(viewer)}
	var texts []string
	for i := range 100 {
		texts = append(texts, encoded("shop:roles/compute.admin", fmt.Sprintf("a%d<b||a<b||a<b||a<b||a<b||a<b||a<b||a<b||a<b", i)))
	}
	broker := w.Broker()
	for b.Loop() {
		if _, err := broker.Choose(b.Context(), caller(ana), shop, texts...); err == nil {
			b.Fatal("chosen")
		}
	}
}
