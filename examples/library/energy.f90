!> Energy and forces of an XYZ file (symbols H, C, O only, to keep it short) by a model file.
!> Usage: energy_fortran model.pt structure.xyz
program energy_fortran
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: error_unit
  use transip
  implicit none

  character(4096) :: model_file, structure_file
  character(4) :: symbol
  integer :: unit, atoms, i, status
  integer(c_int64_t), allocatable, target :: species(:)
  real(c_double), allocatable, target :: positions(:, :), forces(:, :)
  real(c_double), target :: energy
  type(transip_structure) :: structure
  type(transip_result) :: found
  type(c_ptr) :: model

  if (command_argument_count() /= 2) call fail("usage: energy_fortran model.pt structure.xyz")
  call get_command_argument(1, model_file)
  call get_command_argument(2, structure_file)

  open (newunit=unit, file=trim(structure_file), status="old", action="read", iostat=status)
  if (status /= 0) call fail(trim(structure_file) // ": there is no such file")
  read (unit, *, iostat=status) atoms
  if (status /= 0) call fail(trim(structure_file) // ": expected an XYZ file")
  read (unit, *)
  allocate (species(atoms), positions(3, atoms), forces(3, atoms))
  do i = 1, atoms
    read (unit, *, iostat=status) symbol, positions(:, i)
    if (status /= 0) call fail(trim(structure_file) // ": an atom cannot be read")
    species(i) = atomic_number(symbol)
  end do
  close (unit)

  if (transip_load(trim(model_file) // c_null_char, c_null_ptr, model) /= transip_ok) call fail(transip_message())
  structure%atoms = atoms
  structure%species = c_loc(species)
  structure%positions = c_loc(positions)
  found%energy = c_loc(energy)
  found%forces = c_loc(forces)
  if (transip_evaluate(model, structure, found) /= transip_ok) call fail(transip_message())
  print "(a, f0.10, a)", "energy ", energy, " eV"
  do i = 1, atoms
    print "(a, i0, 3f16.8, a)", "force ", i, forces(:, i), " eV/Angstrom"
  end do
  call transip_free(model)

contains

  pure integer(c_int64_t) function atomic_number(symbol)
    character(*), intent(in) :: symbol
    atomic_number = 0
    if (symbol == "H") atomic_number = 1
    if (symbol == "C") atomic_number = 6
    if (symbol == "O") atomic_number = 8
  end function atomic_number

  subroutine fail(reason)
    character(*), intent(in) :: reason
    write (error_unit, "(a)") reason
    stop 2
  end subroutine fail

end program energy_fortran
