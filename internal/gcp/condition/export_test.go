package condition

// Operators counts the logic operators of a condition.
func Operators(expression string) (int, error) {
	tree, err := parse(expression)
	if err != nil {
		return 0, err
	}
	return operatorsIn(tree), nil
}
