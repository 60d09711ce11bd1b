package policy_test

import (
	"slices"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
)

// What is granted on a folder or an organization holds for all that lies in it. It is given out
// only where the rule that decides names exactly it, whatever else a rule says.
func TestAFolderIsGivenOutWhereTheRuleThatDecidesNamesIt(t *testing.T) {
	const admin = "roles/cloudsql.admin"
	tests := map[string]struct {
		text, resource string
		want           string // the rule that decides, or the code of the refusal
	}{
		"named": {`rules: [{name: a, match: {resource: [folders/4711]}, terms: {approvals: 1}}]`, "folders/4711", "a"},
		"named beside others": {`rules: [{name: a, match: {resource: ["projects/*", folders/4711]}, terms: {approvals: 1}}]`,
			"folders/4711", "a"},
		"the organization": {`rules: [{name: a, match: {resource: [organizations/1]}, terms: {approvals: 1}}]`, "organizations/1", "a"},
		"named for this role": {`rules: [{name: a, match: {resource: [folders/4711], role: [roles/cloudsql.*]}, terms: {approvals: 1}}]`,
			"folders/4711", "a"},
		"no rule":        {``, "folders/4711", "not-named"},
		"no rule at all": {`unmatched: refuse`, "folders/4711", "no-rule"},
		"another":        {`rules: [{name: a, match: {resource: [folders/4712]}, terms: {approvals: 1}}]`, "folders/4711", "not-named"},
		"for another role": {`rules: [{name: a, match: {resource: [folders/4711], role: [roles/viewer]}, terms: {approvals: 1}}]`,
			"folders/4711", "not-named"},
		"for others": {`rules: [{name: a, match: {resource: [folders/4711], requester: ["user:ben@example.com"]}, terms: {approvals: 1}}]`,
			"folders/4711", "not-named"},
		"what lies below is named":  {`rules: [{name: a, match: {resource: [folders/4711/**]}, terms: {approvals: 1}}]`, "folders/4711", "not-named"},
		"what lies above is named":  {`rules: [{name: a, match: {resource: [organizations/1]}, terms: {approvals: 1}}]`, "folders/4711", "not-named"},
		"below what is named":       {`rules: [{name: a, match: {resource: [folders/4711/**]}, terms: {approvals: 1}}]`, "folders/4712", "not-named"},
		"all are meant":             {`rules: [{name: a, match: {resource: ["folders/*"]}, terms: {approvals: 1}}]`, "folders/4711", "not-named"},
		"everything is meant":       {`rules: [{name: a, terms: {approvals: 1}}]`, "folders/4711", "not-named"},
		"all but one":               {`rules: [{name: a, match: {resource: ["!folders/4711"]}, terms: {approvals: 1}}]`, "folders/4712", "not-named"},
		"named and taken out":       {`rules: [{name: a, match: {resource: [folders/4711, "!folders/*"]}, terms: {approvals: 1}}]`, "folders/4711", "not-named"},
		"with another zero":         {`rules: [{name: a, match: {resource: [folders/4711]}, terms: {approvals: 1}}]`, "folders/04711", "not-named"},
		"an earlier rule decides":   {`rules: [{name: a, terms: {approvals: 1}}, {name: b, match: {resource: [folders/4711]}, terms: {approvals: 0}, loosen: [approvals]}]`, "folders/4711", "not-named"},
		"an earlier rule refuses":   {`rules: [{name: a, match: {role: ["roles/*"]}, refuse: no}, {name: b, match: {resource: [folders/4711]}, terms: {approvals: 1}}]`, "folders/4711", "rule-refuses"},
		"a project, as ever":        {`rules: [{name: a, match: {resource: [folders/4711]}, terms: {approvals: 1}}]`, "projects/shop-prod", ""},
		"a project, by all as ever": {`rules: [{name: a, terms: {approvals: 1}}]`, "projects/shop-prod", "a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := ana()
			s.Entitlement = access.EntitlementID{Resource: access.Resource(tt.resource), Role: admin}
			if tt.resource != "projects/shop-prod" {
				s.Ancestors = []access.Resource{"folders/4711", "organizations/1"}
			}
			terms, _, err := refined(t, tt.text).Terms(s)
			got := terms.Rule
			if err != nil {
				got = string(access.AsError(err).Code)
			}
			if got != tt.want {
				t.Errorf("%q, want %q (%v)", got, tt.want, err)
			}
		})
	}
}

// Without a policy file nothing names a folder.
func TestWithoutAFileNoFolderIsGivenOut(t *testing.T) {
	alone := policy.New(settings)
	naming := alone.Naming([]access.Resource{"folders/4711"})
	for _, tt := range []struct {
		of   policy.Instance
		on   access.Resource
		want access.Code
	}{
		{alone, "folders/4711", access.CodeNotNamed}, {alone, "organizations/1", access.CodeNotNamed}, {alone, "projects/shop", ""},
		{naming, "folders/4711", ""}, {naming, "folders/4712", access.CodeNotNamed}, {naming, "projects/shop", ""},
	} {
		s := ana()
		s.Entitlement.Resource = tt.on
		if _, _, err := tt.of.Terms(s); err == nil && tt.want != "" || err != nil && access.AsError(err).Code != tt.want {
			t.Errorf("%s: %v, want %q", tt.on, err, tt.want)
		}
	}
}

// The file says what is offered.
func TestNamed(t *testing.T) {
	f := file(t, `version: 1
rules:
- {name: a, match: {resource: [folders/2, projects/p, organizations/1, folders/1/**, "folders/*", "!folders/3"]}, terms: {approvals: 1}}
- {name: b, match: {resource: [folders/2, folders/10]}, terms: {approvals: 2}}
- {name: c, match: {resource: [folders/9]}, refuse: no}
- {name: d, terms: {approvals: 1}}`)
	if got, want := f.Named(), []access.Resource{"folders/10", "folders/2", "organizations/1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := file(t, "version: 1").Named(); len(got) > 0 {
		t.Errorf("%v", got)
	}
}
