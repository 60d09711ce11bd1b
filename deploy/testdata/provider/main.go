// Command provider stands in for the Google providers of Terraform, so that modules can be planned
// and applied where Google is not: it has the schema of the file that the variable SCHEMA names,
// takes every value of the right type, and makes nothing. What Google
// would fill in is a text that says what it stands for.
//
// It is a module of its own: the library of the protocol is no dependency of the product, nor of
// its tests.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// shape is as in schema.json.
type shape struct {
	Arguments map[string]string
	Blocks    map[string]*shape
	Exports   []string
}

func main() {
	var shapes map[string]*shape
	text, err := os.ReadFile(os.Getenv("SCHEMA"))
	if err == nil {
		err = json.Unmarshal(text, &shapes)
	}
	if err != nil {
		log.Fatal(err)
	}
	s := provider{resources: map[string]*tfprotov5.Schema{}, data: map[string]*tfprotov5.Schema{}}
	for name, shape := range shapes {
		if source, ok := strings.CutPrefix(name, "data."); ok {
			s.data[source] = &tfprotov5.Schema{Block: block(shape, true)}
		} else {
			s.resources[name] = &tfprotov5.Schema{Block: block(shape, true)}
		}
	}
	address := "registry.terraform.io/hashicorp/google"
	if strings.Contains(os.Args[0], "google-beta") {
		address += "-beta"
	}
	if err := tf5server.Serve(address, func() tfprotov5.ProviderServer { return s }); err != nil {
		log.Fatal(err)
	}
}

var types = map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool,
	"list": tftypes.List{ElementType: tftypes.String}, "map": tftypes.Map{ElementType: tftypes.String}}

// block makes a schema of a shape. At the top Google may fill in what is not given.
func block(s *shape, top bool) *tfprotov5.SchemaBlock {
	b := &tfprotov5.SchemaBlock{}
	seen := map[string]bool{}
	for name, kind := range s.Arguments {
		name, required := strings.CutSuffix(name, "!")
		seen[name] = true
		b.Attributes = append(b.Attributes, &tfprotov5.SchemaAttribute{Name: name, Type: types[kind], Required: required, Optional: !required, Computed: top && !required})
	}
	for name, inner := range s.Blocks {
		name = strings.TrimSuffix(name, "!")
		seen[name] = true
		b.BlockTypes = append(b.BlockTypes, &tfprotov5.SchemaNestedBlock{TypeName: name, Block: block(inner, false), Nesting: tfprotov5.SchemaNestedBlockNestingModeList})
	}
	for _, name := range s.Exports {
		kind := tftypes.Type(tftypes.String)
		if name == "included_permissions" {
			kind = tftypes.Set{ElementType: tftypes.String}
		}
		if !seen[name] {
			b.Attributes = append(b.Attributes, &tfprotov5.SchemaAttribute{Name: name, Type: kind, Computed: true})
		}
	}
	return b
}

// provider has what Terraform asks for; the rest of the protocol it does not ask of it.
type provider struct {
	tfprotov5.ProviderServer
	resources, data map[string]*tfprotov5.Schema
}

func (p provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (p provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	own := &tfprotov5.Schema{Block: &tfprotov5.SchemaBlock{Attributes: []*tfprotov5.SchemaAttribute{
		{Name: "project", Type: tftypes.String, Optional: true}, {Name: "billing_project", Type: tftypes.String, Optional: true},
		{Name: "user_project_override", Type: tftypes.Bool, Optional: true}}}}
	return &tfprotov5.GetProviderSchemaResponse{Provider: own, ResourceSchemas: p.resources, DataSourceSchemas: p.data}, nil
}

func (p provider) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (p provider) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (p provider) UpgradeResourceState(_ context.Context, r *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	kind := p.resources[r.TypeName].ValueType()
	value, err := r.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov5.NewDynamicValue(kind, value)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

func (p provider) ReadResource(_ context.Context, r *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: r.CurrentState}, nil
}

func (p provider) PlanResourceChange(_ context.Context, r *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	planned, err := fill(p.resources[r.TypeName], r.ProposedNewState, func(a *tfprotov5.SchemaAttribute, v tftypes.Value) tftypes.Value {
		if a.Computed && v.IsNull() {
			return tftypes.NewValue(a.Type, tftypes.UnknownValue)
		}
		return v
	})
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: planned}, err
}

func (p provider) ApplyResourceChange(_ context.Context, r *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	made, err := fill(p.resources[r.TypeName], r.PlannedState, func(a *tfprotov5.SchemaAttribute, v tftypes.Value) tftypes.Value {
		if v.IsKnown() {
			return v
		}
		switch kind := a.Type; {
		case kind.Is(tftypes.String):
			return tftypes.NewValue(kind, "("+r.TypeName+"."+a.Name+")")
		case kind.Is(tftypes.Bool):
			return tftypes.NewValue(kind, false)
		case kind.Is(tftypes.Number):
			return tftypes.NewValue(kind, 0)
		case kind.Is(tftypes.Map{}):
			return tftypes.NewValue(kind, map[string]tftypes.Value{})
		default:
			return tftypes.NewValue(kind, []tftypes.Value{})
		}
	})
	return &tfprotov5.ApplyResourceChangeResponse{NewState: made}, err
}

// ReadDataSource knows one kind, roles: one that is called admin may set policies.
func (p provider) ReadDataSource(_ context.Context, r *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	state, err := fill(p.data[r.TypeName], r.Config, func(a *tfprotov5.SchemaAttribute, v tftypes.Value) tftypes.Value {
		if a.Name != "included_permissions" {
			return v
		}
		permissions := []tftypes.Value{tftypes.NewValue(tftypes.String, "service.things.get")}
		return tftypes.NewValue(a.Type, permissions)
	}, func(all map[string]tftypes.Value) {
		var name string
		if all["name"].As(&name) == nil && strings.HasSuffix(strings.ToLower(name), "admin") {
			all["included_permissions"] = tftypes.NewValue(tftypes.Set{ElementType: tftypes.String},
				[]tftypes.Value{tftypes.NewValue(tftypes.String, "service.things.setIamPolicy")})
		}
	})
	return &tfprotov5.ReadDataSourceResponse{State: state}, err
}

// fill replaces the attributes of a value; what is to be destroyed has none.
func fill(s *tfprotov5.Schema, value *tfprotov5.DynamicValue, each func(*tfprotov5.SchemaAttribute, tftypes.Value) tftypes.Value,
	whole ...func(map[string]tftypes.Value)) (*tfprotov5.DynamicValue, error) {
	kind := s.ValueType()
	v, err := value.Unmarshal(kind)
	if err != nil || v.IsNull() {
		return value, err
	}
	all := map[string]tftypes.Value{}
	if err := v.As(&all); err != nil {
		return nil, err
	}
	for _, a := range s.Block.Attributes {
		all[a.Name] = each(a, all[a.Name])
	}
	for _, do := range whole {
		do(all)
	}
	filled, err := tfprotov5.NewDynamicValue(kind, tftypes.NewValue(kind, all))
	return &filled, err
}
