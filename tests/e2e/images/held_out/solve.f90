! Conjugate gradients, and what of the language's library comes along. No module: the compiler
! writes a file for each.
program solve
  real(8) :: x(500), r(500), p(500), q(500), a, b
  real(4) :: m(40,40), n(40,40)
  integer :: i
  x = 0; r = 1; p = r
  do i = 1, 25
    call apply(p, q)
    a = dot_product(r, r) / dot_product(p, q)
    x = x + a * p
    b = dot_product(r, r)
    r = r - a * q
    p = r + dot_product(r, r) / b * p
  end do
  m = 1.25; n = matmul(m, transpose(m))
  print *, sum(x), maxval(n), ones(12345), minloc(x)
contains
  subroutine apply(x, y)
    real(8), intent(in) :: x(:)
    real(8), intent(out) :: y(:)
    integer :: i
    y = 2.5d0 * x
    do i = 2, size(x)
      y(i) = y(i) - x(i-1)
      y(i-1) = y(i-1) - x(i)
    end do
  end subroutine
  pure integer function ones(k)
    integer, intent(in) :: k
    ones = popcnt(k) + leadz(k)
  end function
end program
