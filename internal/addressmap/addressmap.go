// Package addressmap says where a person gets mail, when that is not at the
// address with which they sign in. An operator writes the rule as an expression of
// the Common Expression Language, as in JIT Access 1.x:
//
//	user.email.extract('{name}@example.com') + '@mail.example.com'
//
// user.email is the principal. Besides the standard functions and macros there is
// extract; see there. It does no I/O.
package addressmap

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"jitaccess/internal/access"
)

const (
	// maxExpression is the longest expression, in bytes, and maxDepth how deep it
	// may be nested.
	maxExpression = 4 << 10
	maxDepth      = 50
	// maxCost bounds one evaluation, in cel-go's units: about as many steps. An
	// ordinary rule costs less than a hundred.
	maxCost = 100_000
)

// Mapping is a compiled rule. Make one with Compile. It may be used concurrently.
type Mapping struct{ program cel.Program }

// environment is what expressions may use. Most services need none.
var environment = sync.OnceValue(func() *cel.Env {
	e, err := cel.NewEnv(
		cel.Variable("user", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("extract", cel.MemberOverload("string_extract_string", []*cel.Type{cel.StringType, cel.StringType}, cel.StringType,
			cel.BinaryBinding(func(text, template ref.Val) ref.Val {
				return types.String(extract(string(text.(types.String)), string(template.(types.String))))
			}))),
		cel.ParserRecursionLimit(maxDepth),
	)
	if err != nil {
		panic(err) // only for declarations that contradict each other
	}
	return e
})

// Compile checks an expression as far as that is possible without a person: its
// grammar, its types, what it uses, and that it gives a text. The error says where
// and why, in one line.
func Compile(expression string) (*Mapping, error) {
	if len(expression) > maxExpression {
		return nil, fmt.Errorf("longer than %d bytes", maxExpression)
	}
	if !utf8.ValidString(expression) {
		return nil, errors.New("not UTF-8")
	}
	checked, issues := environment().Compile(expression)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("line %d, column %d: %.200s", first.Location.Line(), first.Location.Column()+1, first.Message)
	}
	if t := checked.OutputType(); !t.IsExactType(cel.StringType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the result is not a text but %s", t)
	}
	if unknown := unknownOfUser(checked.NativeRep()); unknown != "" {
		return nil, fmt.Errorf("user has an email, and no %q", unknown)
	}
	program, err := environment().Program(checked, cel.CostLimit(maxCost))
	if err != nil {
		return nil, err
	}
	return &Mapping{program}, nil
}

// unknownOfUser finds user.NAME with a name other than email. Types cannot tell,
// as user is a map to JIT Access 1.x, too.
func unknownOfUser(tree *ast.AST) (unknown string) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind {
			return
		}
		s := e.AsSelect()
		if of := s.Operand(); of.Kind() == ast.IdentKind && of.AsIdent() == "user" && s.FieldName() != "email" && !s.IsTestOnly() {
			unknown = s.FieldName()
		}
	}))
	return unknown
}

// Address is where p gets mail. An error concerns this person alone.
func (m *Mapping) Address(p access.Principal) (string, error) {
	result, _, err := m.program.Eval(map[string]any{"user": map[string]string{"email": string(p)}})
	if err != nil {
		return "", fmt.Errorf("address mapping: %w", err)
	}
	text, ok := result.(types.String)
	if !ok {
		return "", fmt.Errorf("address mapping: the result is not a text but %s", result.Type().TypeName())
	}
	address, err := access.ParsePrincipal(string(text))
	if err != nil {
		return "", fmt.Errorf("address mapping: the result: %w", err)
	}
	return string(address), nil
}

// extract takes out what stands where the template has a name in braces: the text
// between the first occurrence of what is before the braces and the first
// occurrence after that of what is behind them. Without braces in the template it
// is the whole text, and without a match nothing. The name has no meaning.
func extract(text, template string) string {
	opened, closed := strings.IndexByte(template, '{'), strings.IndexByte(template, '}')
	if opened < 0 || closed < 0 {
		return text
	}
	before, behind := template[:opened], template[closed+1:]
	_, rest, found := strings.Cut(text, before)
	if behind == "" {
		return rest // nothing without a match
	}
	value, _, ends := strings.Cut(rest, behind)
	if !found || !ends {
		return ""
	}
	return value
}
