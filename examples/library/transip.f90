!> transip.h for Fortran 2008, but for arrays on a CUDA device. Units: Angstrom, eV, eV/Angstrom.
!> Names of files and keywords end with c_null_char; handles (model, committee) are type(c_ptr).
module transip
  use, intrinsic :: iso_c_binding
  implicit none

  integer(c_int), parameter :: transip_ok = 0, transip_invalid = 1, transip_not_finite = 2
  integer(c_int), parameter :: transip_differs = 3, transip_fault = 4

  !> transip_options: how to load a model; what stays c_null_ptr or 0 is the default.
  type, bind(c) :: transip_options
    type(c_ptr) :: device = c_null_ptr          !< "auto", "cpu", "cuda" or "cuda:N", with c_null_char at the end
    type(c_ptr) :: kernels = c_null_ptr         !< "auto", "native" or "torch", likewise
    integer(c_int) :: threads = 0               !< of one evaluation on the CPU
    integer(c_int) :: skip_check = 0            !< 1: do not compare the file's reference structure
  end type transip_options

  !> transip_structure: what is evaluated.
  type, bind(c) :: transip_structure
    integer(c_int64_t) :: atoms = 0             !< N
    type(c_ptr) :: species = c_null_ptr         !< [N] integer(c_int64_t), atomic numbers
    type(c_ptr) :: positions = c_null_ptr       !< [3, N] real(c_double), Angstrom
    type(c_ptr) :: cell = c_null_ptr            !< [3, 3] real(c_double), Angstrom, cell vectors as columns
    integer(c_int) :: periodic(3) = 0           !< 1 along each cell vector that is periodic
    integer(c_int) :: charge = 0                !< e
    integer(c_int) :: multiplicity = 1          !< 2S + 1
    integer(c_int64_t) :: step = 0              !< of random rotations
  end type transip_structure

  !> transip_rows: a structure whose neighbours the caller knows; rows and neighbours are counted from 0.
  type, bind(c) :: transip_rows
    integer(c_int64_t) :: tokens = 0            !< T
    integer(c_int64_t) :: rows = 0              !< I
    type(c_ptr) :: species = c_null_ptr         !< [T] integer(c_int64_t), atomic numbers
    type(c_ptr) :: positions = c_null_ptr       !< [3, I] real(c_double), Angstrom
    type(c_ptr) :: owner = c_null_ptr           !< [I] integer(c_int64_t), token whose image a row is
    type(c_ptr) :: first = c_null_ptr           !< [T + 1] integer(c_int64_t), where a token's neighbours begin
    type(c_ptr) :: neighbours = c_null_ptr      !< [first(T + 1)] integer(c_int64_t), rows
    integer(c_int) :: charge = 0                !< e
    integer(c_int) :: multiplicity = 1          !< 2S + 1
    integer(c_int64_t) :: step = 0              !< of random rotations
  end type transip_rows

  !> transip_committee_result: means and standard deviations over K models; what stays c_null_ptr is left out.
  type, bind(c) :: transip_committee_result
    type(c_ptr) :: energy = c_null_ptr          !< real(c_double), eV, mean
    type(c_ptr) :: energy_std = c_null_ptr      !< real(c_double), eV
    type(c_ptr) :: forces = c_null_ptr          !< [3, N] real(c_double), eV/Angstrom, mean
    type(c_ptr) :: deviations = c_null_ptr      !< [N] real(c_double), eV/Angstrom, of each atom
    type(c_ptr) :: virial = c_null_ptr          !< [3, 3] real(c_double), eV, mean
    type(c_ptr) :: energies = c_null_ptr        !< [K] real(c_double), eV, of each model
  end type transip_committee_result

  !> transip_result: where results go; what stays c_null_ptr is left out.
  type, bind(c) :: transip_result
    type(c_ptr) :: energy = c_null_ptr          !< real(c_double), eV
    type(c_ptr) :: energies = c_null_ptr        !< [N] real(c_double), eV
    type(c_ptr) :: forces = c_null_ptr          !< [3, N] real(c_double), eV/Angstrom
    type(c_ptr) :: virial = c_null_ptr          !< [3, 3] real(c_double), eV
    type(c_ptr) :: virials = c_null_ptr         !< [3, 3, N] real(c_double), eV
  end type transip_result

  interface
    !> options: c_null_ptr, or c_loc of a transip_options.
    function transip_load(path, options, model) bind(c) result(status)
      import :: c_char, c_int, c_ptr
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), value :: options
      type(c_ptr), intent(out) :: model
      integer(c_int) :: status
    end function transip_load

    function transip_evaluate(model, structure, result) bind(c) result(status)
      import :: c_int, c_ptr, transip_structure, transip_result
      type(c_ptr), value :: model
      type(transip_structure), intent(in) :: structure
      type(transip_result), intent(in) :: result
      integer(c_int) :: status
    end function transip_evaluate

    !> distances: c_null_ptr, or c_loc of [N] real(c_double) for how far each atom is from the training set.
    function transip_evaluate_with_distances(model, structure, result, distances) bind(c) result(status)
      import :: c_int, c_ptr, transip_structure, transip_result
      type(c_ptr), value :: model, distances
      type(transip_structure), intent(in) :: structure
      type(transip_result), intent(in) :: result
      integer(c_int) :: status
    end function transip_evaluate_with_distances

    function transip_distances(model, structure, distances) bind(c) result(status)
      import :: c_double, c_int, c_ptr, transip_structure
      type(c_ptr), value :: model
      type(transip_structure), intent(in) :: structure
      real(c_double), intent(out) :: distances(*)
      integer(c_int) :: status
    end function transip_distances

    function transip_evaluate_many(model, count, structures, results) bind(c) result(status)
      import :: c_int, c_int64_t, c_ptr, transip_structure, transip_result
      type(c_ptr), value :: model
      integer(c_int64_t), value :: count
      type(transip_structure), intent(in) :: structures(*)
      type(transip_result), intent(in) :: results(*)
      integer(c_int) :: status
    end function transip_evaluate_many

    function transip_evaluate_rows(model, rows, result) bind(c) result(status)
      import :: c_int, c_ptr, transip_rows, transip_result
      type(c_ptr), value :: model
      type(transip_rows), intent(in) :: rows
      type(transip_result), intent(in) :: result
      integer(c_int) :: status
    end function transip_evaluate_rows

    !> Angstrom; 0 for a model that attends all-to-all.
    function transip_cutoff(model) bind(c) result(cutoff)
      import :: c_double, c_ptr
      type(c_ptr), value :: model
      real(c_double) :: cutoff
    end function transip_cutoff

    function transip_set_threads(model, threads) bind(c) result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: model
      integer(c_int), value :: threads
      integer(c_int) :: status
    end function transip_set_threads

    function transip_set_symmetry(model, symmetry) bind(c) result(status)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: model
      character(kind=c_char), intent(in) :: symmetry(*)
      integer(c_int) :: status
    end function transip_set_symmetry

    function transip_set_reference(model, atoms, species, positions) bind(c) result(status)
      import :: c_double, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: model
      integer(c_int64_t), value :: atoms
      integer(c_int64_t), intent(in) :: species(*)
      real(c_double), intent(in) :: positions(3, *)
      integer(c_int) :: status
    end function transip_set_reference

    !> shared: 1, or 0 if the two models cannot share the neighbours of structures.
    function transip_share_neighbours(model, first, shared) bind(c) result(status)
      import :: c_int, c_ptr
      type(c_ptr), value :: model, first
      integer(c_int), intent(out) :: shared
      integer(c_int) :: status
    end function transip_share_neighbours

    !> Bytes that a model keeps.
    function transip_memory(model) bind(c) result(bytes)
      import :: c_int64_t, c_ptr
      type(c_ptr), value :: model
      integer(c_int64_t) :: bytes
    end function transip_memory

    !> paths: [count] c_loc of names of files. options: as of transip_load.
    function transip_load_committee(count, paths, options, committee) bind(c) result(status)
      import :: c_int, c_ptr
      integer(c_int), value :: count
      type(c_ptr), intent(in) :: paths(*)
      type(c_ptr), value :: options
      type(c_ptr), intent(out) :: committee
      integer(c_int) :: status
    end function transip_load_committee

    function transip_committee_count(committee) bind(c) result(count)
      import :: c_int, c_ptr
      type(c_ptr), value :: committee
      integer(c_int) :: count
    end function transip_committee_count

    !> A model of the committee, counted from 0; it goes with the committee.
    function transip_committee_model(committee, number) bind(c) result(model)
      import :: c_int, c_ptr
      type(c_ptr), value :: committee
      integer(c_int), value :: number
      type(c_ptr) :: model
    end function transip_committee_model

    function transip_evaluate_committee(committee, structure, result) bind(c) result(status)
      import :: c_int, c_ptr, transip_structure, transip_committee_result
      type(c_ptr), value :: committee
      type(transip_structure), intent(in) :: structure
      type(transip_committee_result), intent(in) :: result
      integer(c_int) :: status
    end function transip_evaluate_committee

    subroutine transip_free_committee(committee) bind(c)
      import :: c_ptr
      type(c_ptr), value :: committee
    end subroutine transip_free_committee

    subroutine transip_free(model) bind(c)
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine transip_free

    function transip_message_c() bind(c, name="transip_message") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function transip_message_c

    function transip_device_c(model) bind(c, name="transip_device") result(text)
      import :: c_ptr
      type(c_ptr), value :: model
      type(c_ptr) :: text
    end function transip_device_c

    function transip_runs_by_c(model) bind(c, name="transip_runs_by") result(text)
      import :: c_ptr
      type(c_ptr), value :: model
      type(c_ptr) :: text
    end function transip_runs_by_c

    function transip_notice_c(model) bind(c, name="transip_notice") result(text)
      import :: c_ptr
      type(c_ptr), value :: model
      type(c_ptr) :: text
    end function transip_notice_c

    function transip_strlen(text) bind(c, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function transip_strlen
  end interface

contains

  !> Reason of the last failure.
  function transip_message() result(text)
    character(:), allocatable :: text
    text = from_c(transip_message_c())
  end function transip_message

  !> "cpu" or "cuda:N".
  function transip_device(model) result(text)
    type(c_ptr), intent(in) :: model
    character(:), allocatable :: text
    text = from_c(transip_device_c(model))
  end function transip_device

  !> What evaluates, such as "native kernels (avx2)".
  function transip_runs_by(model) result(text)
    type(c_ptr), intent(in) :: model
    character(:), allocatable :: text
    text = from_c(transip_runs_by_c(model))
  end function transip_runs_by

  !> What the user should know of where the model runs; empty if it is as was asked.
  function transip_notice(model) result(text)
    type(c_ptr), intent(in) :: model
    character(:), allocatable :: text
    text = from_c(transip_notice_c(model))
  end function transip_notice

  !> Text of C's, which ends with c_null_char.
  function from_c(address) result(text)
    type(c_ptr), intent(in) :: address
    character(:), allocatable :: text
    character(kind=c_char), pointer :: letters(:)
    integer :: i
    call c_f_pointer(address, letters, [transip_strlen(address)])
    allocate (character(size(letters)) :: text)
    do i = 1, size(letters)
      text(i:i) = letters(i)
    end do
  end function from_c

end module transip
