package policy

import (
	"slices"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
)

// Signers are who may give approvals that are signed.
type Signers struct {
	// Of says which rule or template demands it, From whom it names, as the file spells them,
	// each once; access.FromPeers are whom IAM lets review.
	Of   string
	From []string
	Keys access.KeyTerms
}

// Signers are those of each rule and each template of the file that demands signatures, be it by
// a rule that may decide about it; of several such rules its keys are as all of them demand.
func (f *File) Signers() (all []Signers) {
	for i := range f.Rules {
		said := f.Rules[i].terms.over(f.defaults)
		if f.Rules[i].Refusal != "" || !value(said.signature, false) {
			continue
		}
		s := Signers{Of: f.Rules[i].called(), Keys: said.keys}
		if said.approvals == nil {
			s.From = []string{access.FromPeers}
		} else {
			for _, need := range *said.approvals {
				s.From = append(s.From, need.From...)
			}
		}
		slices.Sort(s.From)
		s.From = slices.Compact(s.From)
		all = append(all, s)
	}
	for _, a := range f.Applications {
		for _, t := range a.Templates {
			terms := access.Terms{Signature: t.Sign}
			for _, rule := range f.deciding(application.EntitlementID(a.Name, t.Key)) {
				said := rule.terms.over(f.defaults)
				terms = access.Strictest(terms, access.Terms{Signature: rule.Refusal == "" && value(said.signature, false), Keys: said.keys})
			}
			if terms.Signature {
				all = append(all, Signers{Of: calledTemplate(a.Name, t.Key), From: t.Approvers, Keys: terms.Keys})
			}
		}
	}
	return all
}
