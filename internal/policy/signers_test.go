package policy_test

import (
	"reflect"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
)

func TestWhoSignsByWhichRule(t *testing.T) {
	f := file(t, `version: 1
defaults: {signature: {key_age: 24h}}
rules:
  - {name: refused, match: {role: [roles/r]}, refuse: no}
  - {name: named, match: {role: [roles/a]}, terms: {approvals: [{count: 1, from: ["user:ben@example.com", peers]}, {count: 1, from: ["user:ben@example.com", "group:leads@example.com"]}]}}
  - {name: unsigned, match: {role: [roles/b]}, terms: {approvals: 1, signature: false}}
  - {name: markers, match: {role: [roles/c]}, terms: {max_duration: 1h, signature: {device_bound: true}}}
applications:
  - name: deployer
    uri: https://deploy.example.com
    signing_key: projects/p/secrets/deployer/versions/1
    templates:
      - {key: production, type: sign_and_approve, name: P, title: P, approvers: ["user:cho@example.com"], max_duration: 1h}
      - {key: staging, type: approve, name: S, title: S, approvers: ["user:cho@example.com"], max_duration: 1h}
`)
	day := access.KeyTerms{Age: 24 * time.Hour}
	want := []policy.Signers{
		{Of: `rule "named"`, From: []string{"group:leads@example.com", "peers", "user:ben@example.com"}, Keys: day},
		{Of: `rule "markers"`, From: []string{"peers"}, Keys: access.KeyTerms{DeviceBound: true}},
		{Of: `template "production" of deployer`, From: []string{"user:cho@example.com"}},
	}
	if got := f.Signers(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// A rule makes that what a template is for is signed, too: by the approvers of the template, with
// keys as the rule demands.
func TestWhoSignsATemplateByARule(t *testing.T) {
	f := file(t, `version: 1
applications:
  - name: deployer
    uri: https://deploy.example.com
    signing_key: /k
    templates:
      - {key: production, type: approve, name: P, title: P, approvers: ["user:cho@example.com"], max_duration: 1h}
      - {key: deletion, type: sign_and_approve, name: D, title: D, approvers: ["user:dan@example.com"], max_duration: 1h}
      - {key: staging, type: approve, name: S, title: S, approvers: ["user:cho@example.com"], max_duration: 1h}
rules:
  - {name: frozen, match: {resource: [apps/*], dates: {from: 2026-12-20, zone: UTC}}, refuse: no}
  - {name: nights, match: {resource: [apps/*], role: ["!roles/staging"], hours: {from: "19:00", to: "07:00", zone: UTC}}, terms: {signature: {key_age: 24h, enrolment: self}}}
  - {name: deletions, match: {resource: [apps/*], role: [roles/deletion]}, terms: {signature: {device_bound: true}}}
  - {name: rest, match: {role: [roles/production, roles/staging]}, terms: {max_duration: 1h}}
  - {name: never reached, match: {resource: [apps/*]}, terms: {signature: true}}
`)
	want := []policy.Signers{
		{Of: `template "production" of deployer`, From: []string{"user:cho@example.com"}, Keys: access.KeyTerms{Age: 24 * time.Hour, SelfEnrolled: true}},
		{Of: `template "deletion" of deployer`, From: []string{"user:dan@example.com"}, Keys: access.KeyTerms{Age: 24 * time.Hour, DeviceBound: true}},
	}
	got := f.Signers()
	if got = got[len(got)-2:]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
