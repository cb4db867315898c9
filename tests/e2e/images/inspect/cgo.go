package main

// #include "part.c"
// static double all(void) { f1(2); f6(); f4(3); f8((char *)X, (char *)A); return f2() + f3() + f5() + f7(3, 5); }
import "C"

import "fmt"

func main() {
	fmt.Println(float64(C.all()))
}
