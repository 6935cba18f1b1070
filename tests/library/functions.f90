!> Numbers of the functions of the Fortran module that its example does not call, for water.
!> Usage: functions guarded.pt committee.pt
program functions
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: error_unit
  use transip
  implicit none

  character(4096), target :: model_file, committee_file
  character(kind=c_char, len=8), target :: native = "native" // c_null_char
  integer(c_int64_t), target :: species(3) = [8, 1, 1], owner(3) = [0, 1, 2]
  integer(c_int64_t), target :: first(4) = [0, 2, 4, 6], neighbours(6) = [1, 2, 0, 2, 0, 1]
  real(c_double), target :: positions(3, 3), forces(3, 3), distances(3), energy, others(2)
  real(c_double), target :: deviations(3), deviation
  integer(c_int) :: shared
  type(transip_options), target :: options
  type(transip_structure) :: water
  type(transip_rows) :: rows
  type(transip_result) :: found, of_each(2)
  type(transip_committee_result) :: of_all
  type(c_ptr) :: model, committee, paths(1)

  positions = reshape([0.0d0, 0.0d0, 0.0d0, 0.96d0, 0.1d0, 0.0d0, -0.2d0, 0.93d0, 0.1d0], [3, 3])
  call get_command_argument(1, model_file)
  call get_command_argument(2, committee_file)
  options%kernels = c_loc(native)
  options%threads = 1
  call require(transip_load(trim(model_file) // c_null_char, c_loc(options), model))
  call require(transip_set_threads(model, 2_c_int))
  if (index(transip_runs_by(model), "native kernels") /= 1) error stop "not by native kernels"
  if (transip_device(model) /= "cpu" .or. transip_notice(model) /= "") error stop "not on the CPU"
  if (transip_memory(model) <= 0) error stop "no memory"

  water%atoms = 3
  water%species = c_loc(species)
  water%positions = c_loc(positions)
  found%energy = c_loc(energy)
  found%forces = c_loc(forces)
  call require(transip_evaluate_with_distances(model, water, found, c_loc(distances)))
  print "(*(es25.16))", energy, forces, distances
  call require(transip_distances(model, water, distances))
  print "(*(es25.16))", distances

  of_each(1)%energy = c_loc(others(1))
  of_each(2)%energy = c_loc(others(2))
  call require(transip_evaluate_many(model, 2_c_int64_t, [water, water], of_each))
  print "(*(es25.16))", others

  rows%tokens = 3
  rows%rows = 3
  rows%species = c_loc(species)
  rows%positions = c_loc(positions)
  if (transip_cutoff(model) > 0) then
    rows%owner = c_loc(owner)
    rows%first = c_loc(first)
    rows%neighbours = c_loc(neighbours)
  end if
  call require(transip_evaluate_rows(model, rows, found))
  print "(*(es25.16))", energy, forces
  call require(transip_set_symmetry(model, "average 12" // c_null_char))
  call require(transip_evaluate(model, water, found))
  print "(*(es25.16))", energy
  if (transip_set_symmetry(model, "sideways" // c_null_char) /= transip_invalid) error stop "no error"
  if (len(transip_message()) == 0) error stop "no message"
  call require(transip_share_neighbours(model, model, shared))
  if (shared /= 0) error stop "neighbours shared on the CPU"
  call transip_free(model)

  committee_file = trim(committee_file) // c_null_char
  paths(1) = c_loc(committee_file)
  call require(transip_load_committee(1_c_int, paths, c_loc(options), committee))
  if (transip_cutoff(transip_committee_model(committee, 0_c_int)) <= 0) error stop "no cutoff"
  of_all%energy = c_loc(energy)
  of_all%energy_std = c_loc(deviation)
  of_all%deviations = c_loc(deviations)
  call require(transip_evaluate_committee(committee, water, of_all))
  print "(*(es25.16))", real(transip_committee_count(committee), c_double), energy, deviation, deviations
  call transip_free_committee(committee)

contains

  subroutine require(status)
    integer(c_int), intent(in) :: status
    if (status == transip_ok) return
    write (error_unit, "(a)") transip_message()
    stop 2
  end subroutine require

end program functions
