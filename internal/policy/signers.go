package policy

import (
	"slices"

	"jitaccess/internal/access"
)

// Signers are who may give approvals that are signed.
type Signers struct {
	// Of says which rule or template demands it, From whom it names, as the file spells them,
	// each once; access.FromPeers are whom IAM lets review.
	Of   string
	From []string
	Keys access.KeyTerms
}

// Signers are those of each rule and each template of the file that demands signatures.
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
			if t.Sign {
				all = append(all, Signers{Of: calledTemplate(a.Name, t.Key), From: t.Approvers})
			}
		}
	}
	return all
}
